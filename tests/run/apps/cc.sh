# SPDX-License-Identifier: BSD-2-Clause
# gcc and make without any download: a library, its objects, a program that loads it.
app_cc() {
	need gcc make ar
	local i n
	n=$(amount 40 8)
	mkdir src
	for ((i = 0; i < n; i++)); do
		printf '#include "all.h"\nint f%d(void)\n{\n\treturn %d;\n}\n' $i $i >src/f$i.c
		printf 'int f%d(void);\n' $i >>src/all.h
		printf '\tsum += f%d();\n' $i >>calls
	done
	printf '#include <stdio.h>\n#include "all.h"\nint main(void)\n{\n\tint sum = 0;\n%s\n\tprintf("%%d\\n", sum);\n}\n' "$(cat calls)" >src/main.c
	cat >Makefile <<-'END'
		.RECIPEPREFIX = >
		objects = $(patsubst src/%.c,obj/%.o,$(filter-out src/main.c,$(wildcard src/*.c)))
		all: static shared
		obj/%.o: src/%.c src/all.h
		> @mkdir -p obj
		> gcc -fPIC -c -o $@ $<
		liball.a: $(objects)
		> rm -f $@; ar rcs $@ $^
		liball.so: $(objects)
		> gcc -shared -o $@ $^
		static: src/main.c liball.a
		> gcc -o $@ $^
		shared: src/main.c liball.so
		> gcc -o $@ src/main.c -L. -lall -Wl,-rpath,'$$ORIGIN'
	END
	make -j2
	is "$(./static)" $((n * (n - 1) / 2)) "the static program"
	is "$(./shared)" $((n * (n - 1) / 2)) "the program with a library"
	make >again.out
	grep -q "Nothing to be done" again.out || fail "make does it all again"
	sleep 1.1
	touch src/f1.c
	make -j2 | grep -c 'gcc.* -c' >count || true
	is "$(cat count)" 1 "files compiled again"
	gcc -flto -O2 -g -o optimized src/*.c
	is "$(./optimized)" "$(./static)" "the optimized program"
	ldd ./shared >libraries
	grep -q "liball.so => $PWD/" libraries || fail "ldd does not find the library"
}
