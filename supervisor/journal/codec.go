package journal

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed is a payload that is not a sequence of fields.
var ErrMalformed = errors.New("malformed fields")

// Encoder builds a payload out of fields. A field is {uvarint id, uvarint
// length, bytes}; the same id may come several times, order is kept. The zero
// value is an empty payload.
type Encoder struct{ b []byte }

// Uint adds a field with an unsigned number.
func (e *Encoder) Uint(id, v uint64) {
	e.head(id, uvarintLen(v))
	e.b = binary.AppendUvarint(e.b, v)
}

// Int adds a field with a signed number; small ones of either sign are short.
func (e *Encoder) Int(id uint64, v int64) { e.Uint(id, uint64(v)<<1^uint64(v>>63)) }

// Bool adds a field with 0 or 1.
func (e *Encoder) Bool(id uint64, v bool) {
	if v {
		e.Uint(id, 1)
	} else {
		e.Uint(id, 0)
	}
}

// String adds a field with text.
func (e *Encoder) String(id uint64, s string) {
	e.head(id, len(s))
	e.b = append(e.b, s...)
}

// Bytes adds a field with bytes, which are copied.
func (e *Encoder) Bytes(id uint64, b []byte) {
	e.head(id, len(b))
	e.b = append(e.b, b...)
}

// Raw adds whole fields as Decoder.Raw gave them: what a reader did not know
// is written again unchanged.
func (e *Encoder) Raw(fields []byte) { e.b = append(e.b, fields...) }

// Payload returns what was built. It is the encoder's until Reset.
func (e *Encoder) Payload() []byte { return e.b }

// Reset empties the encoder and keeps its memory.
func (e *Encoder) Reset() { e.b = e.b[:0] }

func (e *Encoder) head(id uint64, length int) {
	e.b = binary.AppendUvarint(e.b, id)
	e.b = binary.AppendUvarint(e.b, uint64(length))
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// Decoder walks over the fields of a payload:
//
//	for d := journal.NewDecoder(payload); d.Next(); {
//		switch d.ID() {
//		case fieldName:
//			name = d.String()
//		default:
//			unknown = append(unknown, d.Raw()...)
//		}
//	}
//	if d.Err() != nil …
type Decoder struct {
	rest       []byte
	id         uint64
	raw, value []byte
	err        error
}

// NewDecoder starts before the first field of payload.
func NewDecoder(payload []byte) *Decoder { return &Decoder{rest: payload} }

// Next goes to the next field. It returns false at the end and at the first
// field that is not whole; Err tells which.
func (d *Decoder) Next() bool {
	if d.err != nil || len(d.rest) == 0 {
		return false
	}
	id, n := binary.Uvarint(d.rest)
	if n <= 0 {
		return d.fail()
	}
	length, m := binary.Uvarint(d.rest[n:])
	if m <= 0 || length > uint64(len(d.rest)-n-m) {
		return d.fail()
	}
	end := n + m + int(length)
	d.id, d.raw, d.value = id, d.rest[:end:end], d.rest[n+m:end:end]
	d.rest = d.rest[end:]
	return true
}

func (d *Decoder) fail() bool {
	d.err, d.rest, d.raw, d.value = ErrMalformed, nil, nil, nil
	return false
}

// ID returns the present field's number.
func (d *Decoder) ID() uint64 { return d.id }

// Uint returns the present field as an unsigned number. A field that is none
// gives 0 and makes Err ErrMalformed.
func (d *Decoder) Uint() uint64 {
	v, n := binary.Uvarint(d.value)
	if n <= 0 || n != len(d.value) {
		d.fail()
		return 0
	}
	return v
}

// Int returns the present field as a signed number; see Uint.
func (d *Decoder) Int() int64 {
	v := d.Uint()
	return int64(v>>1) ^ -int64(v&1)
}

// Bool returns whether the present field is a number other than 0; see Uint.
func (d *Decoder) Bool() bool { return d.Uint() != 0 }

// String returns the present field as text.
func (d *Decoder) String() string { return string(d.value) }

// Bytes returns the present field's bytes, a part of the payload.
func (d *Decoder) Bytes() []byte { return d.value }

// Raw returns the present field whole, for Encoder.Raw; a part of the payload.
func (d *Decoder) Raw() []byte { return d.raw }

// Err returns ErrMalformed after a field that was not whole or not what it
// was asked for as, and nil otherwise.
func (d *Decoder) Err() error { return d.err }
