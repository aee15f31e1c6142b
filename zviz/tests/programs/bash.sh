# Jobs, pipes, traps, here documents, process substitution, arithmetic.
bash -euo pipefail <<'SCRIPT'
trap 'echo left > trap' EXIT
diff <(printf 'a\nb\n') <(printf 'a\nb\n')
seq 1000 | sort -rn | head -n 1 | grep -qx 1000 || [ "${PIPESTATUS[2]}" -ne 0 ]
sleep 0.1 & sleep 0.1 & wait
declare -A map=([k]=v); [ "${map[k]}" = v ]
(( 6 * 7 == 42 ))
coproc cat; echo hello >&"${COPROC[1]}"; read -r word <&"${COPROC[0]}"; [ "$word" = hello ]
kill "$COPROC_PID"
[[ $(ulimit -c) == 0 ]]
SCRIPT
grep -qx left trap
echo done
