# SPDX-License-Identifier: Apache-2.0
# Instruction sets beyond the base of an architecture, lowest first, and the flags of the files
# core_c/src/*__<set>.c. Read by the makefiles and by setup.py, so one NAME := VALUE a line.
ISAS_x86_64 := avx2 avxvnni avx512vnni
ISAS_aarch64 := neon dotprod i8mm
ISAS := avx2 avxvnni avx512vnni neon dotprod i8mm
FLAGS_avx2 := -mavx2 -mbmi -mbmi2 -mpopcnt
FLAGS_avxvnni := -mavx2 -mbmi -mbmi2 -mpopcnt -mavxvnni
FLAGS_avx512vnni := -mavx2 -mbmi -mbmi2 -mpopcnt -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni
FLAGS_neon :=
FLAGS_dotprod := -march=armv8.2-a+dotprod
FLAGS_i8mm := -march=armv8.2-a+dotprod+i8mm
