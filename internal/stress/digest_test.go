package stress_test
import ("testing";"time")
func TestTime(t *testing.T){ b:=time.Now(); l,err:=newLayer(1,1<<30); t.Log(l,err,time.Since(b)) }
