#include "textflag.h"

// func cloneSteps(flags, stack uintptr, head *header, steps *step) (pid, errno uintptr)
//
// The child keeps all it needs in registers: R19 its header, R20 the step it
// is at, R21 the number of that step. It uses no stack and never returns.
TEXT ·cloneSteps(SB), NOSPLIT|NOFRAME, $0-48
	MOVD flags+0(FP), R0
	MOVD stack+8(FP), R1
	MOVD head+16(FP), R19
	MOVD steps+24(FP), R20
	MOVD ZR, R2
	MOVD ZR, R3
	MOVD R19, R4           // child_tid: header.alive
	MOVD $220, R8          // clone
	SVC
	CBZ  R0, child
	TBNZ $63, R0, refused
	MOVD R0, pid+32(FP)
	MOVD ZR, errno+40(FP)
	RET

refused:
	NEG  R0, R0
	MOVD ZR, pid+32(FP)
	MOVD R0, errno+40(FP)
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
