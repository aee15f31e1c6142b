# A shell and the system's small programs: here-documents, pipes, jobs, signals, globs, files.
words=$(cat <<TEXT
b
a
TEXT
)
[ "$(echo "$words" | sort | tr '\n' ' ')" = "a b " ]
mkdir -p d/e; seq 100 > d/e/f; ln -s e d/link; cp -a d copy; mv copy moved; cmp moved/e/f d/e/f
[ "$(find . -name f | xargs cat | awk '{ n += $1 } END { print n }')" = 10100 ]
sed -i s/100/hundred/ d/e/f; grep -c hundred d/e/f; tar cf t.tar d; tar tf t.tar > /dev/null; gzip t.tar; gzip -dc t.tar.gz | wc -c
sleep 10 & kill $!; wait $! || [ $? = 143 ]
sh -c 'trap "exit 3" TERM; kill -TERM $$; exit 4' || [ $? = 3 ]
sort -rn d/e/f | head -n 1; date +%Y; expr 6 '*' 7; printf '%s\n' *; timeout 5 true; mkfifo p; (echo x > p) & read -r x < p; wait
rm -r d moved t.tar.gz p
echo done
