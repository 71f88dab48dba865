#include "textflag.h"

// func wrongClock() uintptr
TEXT ·wrongClock(SB), NOSPLIT, $0-8
	LEAQ clockGettime<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// clockGettime is clock_gettime(2), called as C functions are. The time of day, which is clock 0, is wrong.
TEXT clockGettime<>(SB), NOSPLIT|NOFRAME, $0
	MOVL $228, AX // SYS_clock_gettime
	SYSCALL
	TESTL DI, DI
	JNZ  done
	MOVQ ·wrongBy(SB), CX
	ADDQ CX, (SI)
done:
	RET
