package supervisor

import "fmt"

// What is needed of elf(5). The standard library's package for it brings
// readers of debugging data and of compressed sections.
const (
	elfMagic  = "\x7fELF"
	elfInterp = 3 // PT_INTERP: a program header that names the interpreter
)

// elfMachine is e_machine, the processor that a program is for.
type elfMachine uint16

const (
	elf386     elfMachine = 3
	elfX8664   elfMachine = 62
	elfAArch64 elfMachine = 183
	elfRISCV   elfMachine = 243
)

var elfNames = map[elfMachine]string{
	elf386: "386", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "S390", 40: "ARM",
	elfX8664: "x86-64", elfAArch64: "AArch64", elfRISCV: "RISC-V", 258: "LoongArch",
}

func (m elfMachine) String() string {
	if name := elfNames[m]; name != "" {
		return name
	}
	return fmt.Sprintf("number %d", uint16(m))
}

// machines are the processors by the names that Go gives them.
var machines = map[string]elfMachine{"amd64": elfX8664, "arm64": elfAArch64, "riscv64": elfRISCV}
