printf 'int twice(int n) { return 2 * n; }\nint main(void) { return twice(21) != 42; }\n' > m.c
gcc -g -o m m.c
gdb -nx -batch -ex 'break twice' -ex run -ex 'print n' -ex finish -ex continue ./m > log 2>&1
grep -q '^\$1 = 21' log || { cat log; exit 1; }
grep -q 'exited normally' log
echo done
