// Compare counts.
package main

import _ "github.com/regclient/regclient"

func main() {}
