# Follows the log while a call is made: first the last record there is, then all of the new run, until its end.
seen() { # seen N: waits until the ends of N runs are seen
    tries=0
    while [ "$(grep -c run_finished seen.txt)" -lt "$1" ] && [ $tries -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
}
touch seen.txt
loong audit recent --follow --limit 1 "$@" > seen.txt &
follower=$!
seen 1
loong tools call stranger.wasm add '{"left": 2, "right": 40}'
seen 2
kill $follower
cat seen.txt
