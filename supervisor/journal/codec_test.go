package journal

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFieldsComeBackInOrder(t *testing.T) {
	var e Encoder
	e.Uint(1, math.MaxUint64)
	e.Int(2, math.MinInt64)
	e.Int(3, -1)
	e.String(4, "web\n}\x00")
	e.Bytes(4, []byte{0xff})
	e.Bool(1<<40, true)
	d := NewDecoder(e.Payload())
	next := func(id uint64) {
		t.Helper()
		if !d.Next() || d.ID() != id {
			t.Fatalf("got field %d (%v), want %d", d.ID(), d.Err(), id)
		}
	}
	if next(1); d.Uint() != math.MaxUint64 {
		t.Error("the largest unsigned number changed")
	}
	if next(2); d.Int() != math.MinInt64 {
		t.Error("the smallest signed number changed")
	}
	if next(3); d.Int() != -1 {
		t.Error("-1 changed")
	}
	if next(4); d.String() != "web\n}\x00" {
		t.Errorf("text became %q", d.String())
	}
	if next(4); !bytes.Equal(d.Bytes(), []byte{0xff}) {
		t.Errorf("bytes became %x", d.Bytes())
	}
	if next(1 << 40); !d.Bool() {
		t.Error("true became false")
	}
	if d.Next() || d.Err() != nil {
		t.Errorf("something follows the last field: %v", d.Err())
	}
}

func TestUnknownFieldsAreWrittenAgainUnchanged(t *testing.T) {
	var newer Encoder
	newer.String(1, "web")
	newer.Bytes(77, []byte("from the future"))
	newer.Uint(78, 300)
	var kept []byte
	for d := NewDecoder(newer.Payload()); d.Next(); {
		if d.ID() != 1 {
			kept = append(kept, d.Raw()...)
		}
	}
	var older Encoder
	older.String(1, "web")
	older.Raw(kept)
	if !bytes.Equal(older.Payload(), newer.Payload()) {
		t.Errorf("got %x, want %x", older.Payload(), newer.Payload())
	}
}

func TestPayloadCutInsideAFieldIsMalformed(t *testing.T) {
	var e Encoder
	e.String(300, strings.Repeat("x", 200))
	whole := e.Payload()
	for cut := 1; cut < len(whole); cut++ {
		d := NewDecoder(whole[:cut])
		if d.Next() || d.Err() == nil {
			t.Fatalf("cut at %d: field %d accepted", cut, d.ID())
		}
		if d.Next() {
			t.Fatalf("cut at %d: goes on after the error", cut)
		}
	}
}

func TestTextAskedForAsNumberIsAnError(t *testing.T) {
	var e Encoder
	e.String(1, "\x80\x80")
	e.Uint(2, 5)
	d := NewDecoder(e.Payload())
	if !d.Next() || d.Uint() != 0 || d.Err() == nil || d.Next() {
		t.Errorf("err %v, want malformed and the end", d.Err())
	}
}

func TestNumbersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, u, i := rapid.Uint64().Draw(t, "id"), rapid.Uint64().Draw(t, "u"), rapid.Int64().Draw(t, "i")
		var e Encoder
		e.Uint(id, u)
		e.Int(id, i)
		d := NewDecoder(e.Payload())
		if !d.Next() || d.ID() != id || d.Uint() != u || !d.Next() || d.Int() != i || d.Next() || d.Err() != nil {
			t.Fatalf("%d, %d, %d did not come back", id, u, i)
		}
	})
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte{1, 1, 1})
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		var again Encoder
		d := NewDecoder(b)
		for d.Next() {
			again.Raw(d.Raw())
		}
		if d.Err() == nil && !bytes.Equal(again.Payload(), b) {
			t.Fatalf("%x became %x", b, again.Payload())
		}
	})
}
