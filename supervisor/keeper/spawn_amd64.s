#include "textflag.h"

// func cloneSteps(nr, first, second uintptr, head *header, steps *step) (pid, errno uintptr)
//
// nr is clone, of flags and stack, or clone3, of its arguments and their size.
// The child keeps all it needs in registers: R12 its header, R13 the step it
// is at, BX the number of that step. It uses no stack and never returns.
TEXT ·cloneSteps(SB), NOSPLIT|NOFRAME, $0-56
	MOVQ nr+0(FP), AX
	MOVQ first+8(FP), DI
	MOVQ second+16(FP), SI
	MOVQ head+24(FP), R12
	MOVQ steps+32(FP), R13
	MOVQ R12, DX           // parent_tid of clone: header.alive
	MOVQ R12, R10          // child_tid: the same
	XORL R8, R8
	SYSCALL
	TESTQ AX, AX
	JZ   child
	JS   refused
	MOVQ AX, pid+40(FP)
	MOVQ $0, errno+48(FP)
	RET

refused:
	NEGQ AX
	MOVQ $0, pid+40(FP)
	MOVQ AX, errno+48(FP)
	RET

child:
	XORL BX, BX

again:
	MOVQ 0(R13), AX        // step.nr
	CMPQ AX, $-1
	JEQ  none
	MOVL BX, 4(R12)        // header.at
	MOVQ 8(R13), DI
	MOVQ 16(R13), SI
	MOVQ 24(R13), DX
	MOVQ 32(R13), R10
	MOVQ 40(R13), R8
	MOVQ 48(R13), R9
	SYSCALL
	CMPQ AX, $0xfffffffffffff001
	JCS  done
	NEGQ AX
	MOVQ AX, 64(R13)       // step.got
	MOVQ 56(R13), CX       // step.pass
	BTQ  AX, CX
	JCC  failed

done:
	ADDQ $72, R13
	INCL BX
	JMP  again

none: // no candidate could be executed; the last one's errno stands for all
	MOVQ -8(R13), AX

failed:
	MOVL AX, 8(R12)        // header.errno
	MOVL $127, DI
	MOVL $231, AX          // exit_group
	SYSCALL
	INT  $3
