printf '#include <pthread.h>\n#include <stdio.h>\nstatic void *f(void *p) { return p; }\nint main(void) { pthread_t t; pthread_create(&t, 0, f, 0); pthread_join(t, 0); puts("hello"); return 0; }\n' > m.c
printf 'm: m.o\n\tgcc -pthread -o $@ $<\n%%.o: %%.c\n\tgcc -O2 -g -pipe -c -o $@ $<\n' > Makefile
make -s -j4
[ "$(./m)" = hello ]
gcc -shared -fPIC -o libm2.so m.c; gcc -flto -static -pthread -o s m.c; [ "$(./s)" = hello ]
echo done
