#!/usr/bin/env bash
# Erlang/OTP 25.2.3 (Debian 12), os_mon: memsup's alarm "system_memory_high_watermark" goes off for page cache, while memsup itself says that the memory is available.
#
# Guess before the run: Allocated of get_memory_data() is total - available_memory of get_system_memory_data(), so that a file which is read does not move it.
# Seen: it is total - free of sysinfo(2): 1 GiB of a file in the page cache is 1 GiB allocated. With the watermark 300 MiB above total - available the alarm is there after a file
# was read, and stays, as a cache does not shrink by itself; at the default of 80 % any machine that reads enough files has it for ever. available_memory, in the other answer of the same process, has
# read MemAvailable all along. (In a container the two are not even of one machine: Allocated and Total come from sysinfo, the rest from /proc/meminfo.)
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
version=1:25.2.3+dfsg-1+deb12u4
apt-get download "erlang-base=$version" "erlang-os-mon=$version" "erlang-mnesia=$version" "erlang-runtime-tools=$version" "erlang-snmp=$version" >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" .; done
sed "s#/usr/lib/erlang#$dir/usr/lib/erlang#" usr/lib/erlang/bin/erl >erl
chmod +x erl
dd if=/dev/zero of=file bs=1M count=1024 status=none
cat file >/dev/null
cat >probe.erl <<'CODE'
-module(probe).
-export([run/0]).

run() ->
    {_, Available} = lists:keyfind(available_memory, 1, memsup:get_system_memory_data()),
    {Total, Allocated, _} = memsup:get_memory_data(),
    Used = Total - Available,
    application:stop(os_mon),
    application:set_env(os_mon, system_memory_high_watermark, (Used + 300 * 1048576) / Total),
    application:start(os_mon),
    memsup:get_memory_data(), % comes after the first check
    io:format("used ~w allocated ~w alarm ~w~n", [Used bsr 20, Allocated bsr 20, lists:keymember(system_memory_high_watermark, 1, alarm_handler:get_alarms())]).
CODE
./erl -noshell -eval '{ok, probe} = compile:file(probe), application:start(sasl), application:start(os_mon), probe:run(), halt().' 2>/dev/null | grep '^used' | tee seen
read -r _ used _ allocated _ alarm <seen
test $((allocated - used)) -ge 800 || { echo "CHANGED: $allocated MiB allocated of $used MiB used"; exit 1; }
test "$alarm" = true || { echo "CHANGED: no alarm"; exit 1; }
