#!/bin/sh
# Goes on after the id in the file `position`.
touch position
while true; do
    curl -sS -N --speed-limit 1 --speed-time 60 -H "Last-Event-ID: $(cat position)" "$1" |
        while IFS= read -r line; do
            case $line in
                event:*) event=${line#event: } ;;
                id:*) id=${line#id: } ;;
                data:*) data=${line#data: } ;;
                "")
                    if [ "$event" = message ]; then printf '%s\n' "$data"; fi
                    printf '%s' "$id" >position
                    event=
                    ;;
            esac
        done
    sleep 2
done
