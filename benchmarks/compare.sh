#!/usr/bin/env bash
# The benchmarks of another revision and of this working tree, in turn on the same host, in one table: minima and medians, with their ratios.
#
#   benchmarks/compare.sh REV [--only PATTERNS] [--minutes N] [--parallel]
#
# REV is built once and kept in a cache folder (MEMSIM_COMPARE_CACHE, else ~/.cache/memsim-compare). Rounds follow each other until the next would not end within N minutes (9);
# the minimum is that of all rounds, the median that of the rounds' medians. Operations that only one of them has are left out. The table is Markdown on standard output,
# everything else goes to standard error.
set -euo pipefail
usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 1 ] || usage
rev=$1; shift
only='fault*,fork*,zap*,mprotect*,mremap*,madvise*,mmap*,lru_add_put,reclaim_clean_page,read_page_at_low_watermark,reclaim_clean_64m,swap_out_in_4k*,boot_1G,boot_64G,page_pair*,page_batch*,page_bulk128,page_churn*,object_pair_64,object_pair_256,cache256_*,percpu_pair_64,tlb*,walk4*,vmalloc*,kmap*'
minutes=9
parallel=()
while [ $# -gt 0 ]; do
  case "$1" in
    --only) only=${2:?}; shift 2;;
    --minutes) minutes=${2:?}; shift 2;;
    --parallel) parallel=(--parallel); shift;;
    *) usage;;
  esac
done

root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
sha=$(git -C "$root" rev-parse --verify "$rev^{commit}")
cache=${MEMSIM_COMPARE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/memsim-compare}
before=$cache/$sha
project=benchmarks/MemSim.Benchmarks
program=bin/Release/net10.0/MemSim.Benchmarks.dll

if [ ! -f "$before/built" ]; then
  echo "building $sha in $before" >&2
  rm -rf "$before"
  mkdir -p "$before"
  git -C "$root" archive "$sha" | tar -x -C "$before"
  dotnet build "$before/$project" -c Release -p:RunAnalyzers=false -clp:ErrorsOnly --nologo >&2
  touch "$before/built"
fi
echo "building this tree" >&2
dotnet build "$root/$project" -c Release -p:RunAnalyzers=false -clp:ErrorsOnly --nologo >&2

# The tree's own program is copied, so that it can be worked on meanwhile.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$root/$project/bin/Release/net10.0" "$work/after"
old=$before/$project/$program
new=$work/after/MemSim.Benchmarks.dll
have() { dotnet "$1" --list-operations --only "$only" | cut -d, -f2 | sort; }
common=$(comm -12 <(have "$old") <(have "$new") | paste -sd, -)
[ -n "$common" ] || { echo "no operation that both have matches '$only'" >&2; exit 2; }
# A name without a wildcard stands for all names that begin with it: what a name brings in beyond itself is dropped from the table below.

run() { echo "round $2: $1" >&2; dotnet "$3" --csv --only "$common" "${parallel[@]}" 2> "$work/remarks" | sed "s/^/$1,/" >> "$work/figures" || { cat "$work/remarks" >&2; exit 1; }; }
end=$((SECONDS + minutes * 60))
round=0
longest=0
while [ $round -eq 0 ] || [ $((SECONDS + longest)) -lt $end ]; do
  round=$((round + 1))
  start=$SECONDS
  # Whoever goes second finds another host: they take turns at that as well.
  if [ $((round % 2)) -eq 1 ]; then run before $round "$old"; run after $round "$new"; else run after $round "$new"; run before $round "$old"; fi
  took=$((SECONDS - start))
  [ $took -gt $longest ] && longest=$took
done

echo "${sha:0:7} (before) and $(git -C "$root" describe --always --dirty) (after), $round rounds in turn, load $(cut -d' ' -f1-3 /proc/loadavg 2> /dev/null || true); nanoseconds"
echo
awk -F, -v common="$common" '
  function median(list, a, n, i, j, t) {
    n = split(list, a, " ")
    for (i = 2; i <= n; i++) { t = a[i] + 0; for (j = i - 1; j >= 1 && a[j] + 0 > t; j--) a[j + 1] = a[j]; a[j + 1] = t }
    return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
  }
  BEGIN { n = split(common, names, ","); for (i = 1; i <= n; i++) wanted[names[i]] = 1 }
  { base = $3; sub(/_2cpu$/, "", base) }
  base in wanted {
    name = $2 "," $3
    if (!(name in seen)) { seen[name] = 1; order[++count] = name }
    medians[$1, name] = medians[$1, name] " " $4
    if (!(($1, name) in least) || $5 < least[$1, name]) least[$1, name] = $5
  }
  END {
    print "| operation | before: min, median | after: min, median | min after / before | median after / before |"
    print "| --- | --- | --- | --- | --- |"
    for (i = 1; i <= count; i++) {
      name = order[i]; split(name, part, ",")
      b = median(medians["before", name]); a = median(medians["after", name])
      printf "| `%s`%s | %.1f, %.1f | %.1f, %.1f | %.2f | %.2f |\n", part[2], (part[1] == "MemSim" ? "" : " (" part[1] ")"), least["before", name], b, least["after", name], a, least["after", name] / least["before", name], a / b
    }
  }' "$work/figures"
