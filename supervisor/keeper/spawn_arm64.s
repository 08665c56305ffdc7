#include "textflag.h"

// func cloneSteps(nr, first, second uintptr, head *header, steps *step) (pid, errno uintptr)
//
// nr is clone, of flags and stack, or clone3, of its arguments and their size.
// The child keeps all it needs in registers: R19 its header, R20 the step it
// is at, R21 the number of that step. It uses no stack and never returns.
TEXT ·cloneSteps(SB), NOSPLIT|NOFRAME, $0-56
	MOVD nr+0(FP), R8
	MOVD first+8(FP), R0
	MOVD second+16(FP), R1
	MOVD head+24(FP), R19
	MOVD steps+32(FP), R20
	MOVD R19, R2           // parent_tid of clone: header.alive
	MOVD ZR, R3
	MOVD R19, R4           // child_tid: the same
	SVC
	CBZ  R0, child
	TBNZ $63, R0, refused
	MOVD R0, pid+40(FP)
	MOVD ZR, errno+48(FP)
	RET

refused:
	NEG  R0, R0
	MOVD ZR, pid+40(FP)
	MOVD R0, errno+48(FP)
	RET

child:
	MOVD ZR, R21

again:
	MOVD 0(R20), R8        // step.nr
	CMN  $1, R8
	BEQ  none
	MOVW R21, 4(R19)       // header.at
	MOVD 8(R20), R0
	MOVD 16(R20), R1
	MOVD 24(R20), R2
	MOVD 32(R20), R3
	MOVD 40(R20), R4
	MOVD 48(R20), R5
	SVC
	CMN  $4095, R0
	BCC  done
	NEG  R0, R0
	MOVD R0, 64(R20)       // step.got
	MOVD 56(R20), R6       // step.pass
	LSR  R0, R6, R6
	TBZ  $0, R6, failed

done:
	ADD  $72, R20
	ADD  $1, R21
	B    again

none: // no candidate could be executed; the last one's errno stands for all
	MOVD -8(R20), R0

failed:
	MOVW R0, 8(R19)        // header.errno
	MOVD $127, R0
	MOVD $94, R8           // exit_group
	SVC
	BRK
