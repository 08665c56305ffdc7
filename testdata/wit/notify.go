package main

import (
	"net"
	"os"
	"strings"
	"time"
)

// notify says what the plan says to who started us, as sd_notify(3) does.
func (w *witness) notify() {
	time.Sleep(w.readyAfter)
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		w.notes.put("UNHEARD", err.Error())
		return
	}
	defer c.Close()
	w.notes.put("SAID", "")
	if _, err := c.Write([]byte(strings.ReplaceAll(w.say, `\n`, "\n"))); err != nil {
		w.notes.put("UNHEARD", err.Error())
	}
}
