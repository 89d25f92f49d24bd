using MemSim.Captures;
using MemSim.KernelMemory;
using MemSim.Recordings.Replay;

namespace MemSim.Recordings;

/// <summary>Repeats recorded vmalloc, vfree and vmap calls from the recorded state and compares every address with that of the kernel.</summary>
/// <remarks>Format: <c>vmalloc.jsonl.gz</c>, one JSON object a line, in time order.</remarks>
public static class VmallocReplay
{
    private const string FileName = "vmalloc.jsonl.gz";

    /// <summary>Whether a folder holds a recording of vmalloc.</summary>
    /// <param name="directory">The folder.</param>
    public static bool IsData(string directory) => File.Exists(Path.Combine(directory, FileName));

    /// <summary>Repeats the whole recording.</summary>
    /// <param name="directory">The folder.</param>
    /// <returns>What matched and what did not.</returns>
    /// <exception cref="InputFileException">The file is missing or malformed.</exception>
    public static ReplayResult Run(string directory)
    {
        ArgumentNullException.ThrowIfNull(directory);
        string path = Path.Combine(directory, FileName);
        List<VmallocRecord> records = JsonLines.ReadAll(path, VmallocRecord.Read);
        if (records.Count == 0 || records[0].Kind != "vmap_state")
        {
            throw new InputFileException(path, 1, "the recording does not begin with a state");
        }

        ReplayTally tally = new();
        Playback playback = new(records[0], tally);
        foreach (VmallocRecord record in records.Skip(1))
        {
            playback.Take(record);
        }

        return tally.ToResult(Path.GetFileName(Path.GetFullPath(directory)));
    }

    private sealed class Playback(VmallocRecord first, ReplayTally tally)
    {
        private readonly Dictionary<ulong, ulong> _tables = [];

        /// <summary>More than these and the worker has cause to run; the pools tell the number of CPUs, of older recordings one is assumed.</summary>
        private readonly long _mostLazyPages = VmapSpace.MaxLazyPages(Math.Max(1, first.Nodes));

        private readonly VmapSpace _space = new(first.VmallocStart, first.VmallocEnd, first.Free, first.Busy, first.Aside, first.Nodes);

        public void Take(VmallocRecord record)
        {
            switch (record.Kind)
            {
                case "vmap_state":
                    CompareState(record);
                    break;
                case "vmalloc":
                    CompareLazy(record, "before", record.LazyBefore);
                    CompareArea(record, (record.Size + PageGeometry.PageSize - 1) >> PageGeometry.PageShift, hasTable: true);
                    CompareLazy(record, "after", record.LazyAfter);
                    break;
                case "vmap":
                    CompareArea(record, record.Count, hasTable: false);
                    break;
                case "vfree":
                    CompareLazy(record, "before", record.LazyBefore);
                    tally.Compare("vfree", Free(record.Address, record.LazyAfter), () => $"line {record.Line}: nothing is in use at 0x{record.Address:x}");
                    CompareLazy(record, "after", record.LazyAfter);
                    break;
                case "vm_unmap_aliases":
                    CompareLazy(record, "before", record.LazyBefore);
                    _space.Purge();
                    CompareLazy(record, "after", record.LazyAfter);
                    break;
                default:
                    break;
            }
        }

        private void CompareArea(VmallocRecord record, ulong pages, bool hasTable)
        {
            ulong bytes = (pages + 1) << PageGeometry.PageShift;
            ulong address = Allocate(bytes);
            tally.Compare("address", address == record.Address, () => $"line {record.Line}: {record.Kind} of {pages} pages at 0x{record.Address:x}, here 0x{address:x}");
            tally.Compare("size of the area", bytes == record.AreaSize, () => $"line {record.Line}: {record.AreaSize} bytes, here {bytes}");
            if (hasTable)
            {
                tally.Compare("pages", pages == record.PageCount, () => $"line {record.Line}: {record.PageCount} pages, here {pages}");
                ulong table = VmallocRules.TableAreaBytes((long)pages);
                if (table != 0 && address != 0)
                {
                    _tables[address] = Allocate(table);
                }
            }
        }

        private ulong Allocate(ulong bytes)
        {
            ulong address = _space.Allocate(bytes);
            if (address == 0)
            {
                _space.Purge(emptyPools: true);
                address = _space.Allocate(bytes);
            }

            return address;
        }

        /// <param name="address">The area.</param>
        /// <param name="recordedAfter">Pages put aside after the call: fewer than there must be tell that the worker ran, and it does so while the pages are freed, before the area of their table is put aside.</param>
        private bool Free(ulong address, long recordedAfter)
        {
            if (!_space.PutAside(address))
            {
                return false;
            }

            if (_space.LazyPages > _mostLazyPages && recordedAfter < _space.LazyPages)
            {
                _space.Purge();
            }

            if (_tables.Remove(address, out ulong table))
            {
                _space.PutAside(table);
            }

            return true;
        }

        private void CompareLazy(VmallocRecord record, string when, long pages)
        {
            // The worker that gives back runs whenever it gets a CPU; only that it had cause to is foreseeable.
            if (pages < _space.LazyPages && _space.LazyPages > _mostLazyPages)
            {
                _space.Purge();
            }

            long here = _space.LazyPages;
            tally.Compare($"lazy pages {when}", here == pages, () => $"line {record.Line}: {pages} pages put aside {when} {record.Kind}, here {here}");
        }

        private void CompareState(VmallocRecord record)
        {
            if (record.When == "end")
            {
                // What the recorder freed at the end has no lines of its own, so only what is in use can be compared, and its complement. When the worker ran
                // in between is not known: free and put aside count as one.
                HashSet<ulong> kept = [.. record.Busy.Select(r => r.Start)];
                foreach (AddressRange range in _space.Busy.Where(r => !kept.Contains(r.Start)))
                {
                    Free(range.Start, long.MaxValue);
                }

                CompareRanges(record, "ranges in use", record.Busy, _space.Busy);
                CompareRanges(record, "ranges not in use", Union(record.Free, record.Aside), Union(_space.Free, _space.Aside));
                return;
            }

            CompareRanges(record, "free ranges", record.Free, _space.Free);
            CompareRanges(record, "ranges in use", record.Busy, _space.Busy);
            CompareRanges(record, "ranges put aside", record.Aside, _space.Aside);
            CompareLazy(record, "in the state", record.LazyPages);
        }

        private static List<AddressRange> Union(List<AddressRange> first, List<AddressRange> second)
        {
            List<AddressRange> union = [];
            foreach (AddressRange range in first.Concat(second).OrderBy(r => r.Start))
            {
                if (union.Count != 0 && union[^1].End == range.Start)
                {
                    union[^1] = union[^1] with { End = range.End };
                }
                else
                {
                    union.Add(range);
                }
            }

            return union;
        }

        private void CompareRanges(VmallocRecord record, string kind, List<AddressRange> expected, List<AddressRange> here)
        {
            for (int i = 0; i < Math.Max(expected.Count, here.Count); i++)
            {
                AddressRange? there = i < expected.Count ? expected[i] : null;
                AddressRange? got = i < here.Count ? here[i] with { Value = 0 } : null;
                tally.Compare(kind, there == got, () => $"line {record.Line}: state '{record.When}', range {i}: {there?.Start:x}-{there?.End:x}, here {got?.Start:x}-{got?.End:x}");
            }
        }
    }
}

/// <summary>One line of a recording of vmalloc.</summary>
internal sealed record VmallocRecord(int Line) : JsonRecord(Line)
{
    public string Kind { get; private set; } = "";

    public string When { get; private set; } = "";

    public ulong VmallocStart { get; private set; }

    public ulong VmallocEnd { get; private set; }

    public List<AddressRange> Free { get; private set; } = [];

    public List<AddressRange> Busy { get; private set; } = [];

    public List<AddressRange> Aside { get; private set; } = [];

    public ulong Size { get; private set; }

    public ulong Count { get; private set; }

    public ulong Address { get; private set; }

    public ulong AreaSize { get; private set; }

    public ulong PageCount { get; private set; }

    public long LazyPages { get; private set; }

    /// <summary>Pools of freed ranges; 0 where the kernel has none and merges what is put aside.</summary>
    public int Nodes { get; private set; }

    public long LazyBefore { get; private set; }

    public long LazyAfter { get; private set; }

    /// <summary>Reads a line.</summary>
    public static VmallocRecord Read(ReadOnlySpan<byte> line, string path, int number)
    {
        VmallocRecord record = new(number);
        record.Fill(line, path);
        return record;
    }

    protected override string[] Required(ref JsonCursor json) => Kind switch
    {
        "vmap_state" => ["when", "vmalloc_start", "vmalloc_end", "lazy_nr", "free", "busy", "purge"],
        "vmalloc" => ["size", "addr", "area_size", "nr_pages", "lazy_before", "lazy_after"],
        "vfree" => ["addr", "lazy_before", "lazy_after"],
        "vm_unmap_aliases" => ["lazy_before", "lazy_after"],
        "vmap" => ["count", "addr", "area_size"],
        "kmap" => [],
        _ => throw json.Fault(Kind.Length == 0 ? "neither 't' nor 'op' says what the line is" : $"'{Kind}' is no known operation"),
    };

    protected override void Take(ref JsonCursor json, string name)
    {
        const long mostBytes = 1L << 57;
        const long mostPages = mostBytes >> PageGeometry.PageShift;
        switch (name)
        {
            case "t" or "op":
                Kind = json.Text();
                break;
            case "when":
                When = json.Text();
                break;
            case "vmalloc_start":
                VmallocStart = json.Address();
                break;
            case "vmalloc_end":
                VmallocEnd = json.Address();
                break;
            case "free":
                Free = Ranges(ref json);
                break;
            case "busy":
                Busy = Ranges(ref json);
                break;
            case "purge":
                Aside = Ranges(ref json);
                break;
            case "size":
                Size = (ulong)json.Number(1, mostBytes);
                break;
            case "count":
                Count = (ulong)json.Number(1, mostPages);
                break;
            case "addr":
                Address = json.Address();
                break;
            case "area_size":
                AreaSize = (ulong)json.Number(1, mostBytes);
                break;
            case "nr_pages":
                PageCount = (ulong)json.Number(0, mostPages);
                break;
            case "lazy_nr":
                LazyPages = json.Number(0, mostPages);
                break;
            case "nr_nodes":
                Nodes = (int)json.Number(1, 128);
                break;
            case "lazy_before":
                LazyBefore = json.Number(0, mostPages);
                break;
            case "lazy_after":
                LazyAfter = json.Number(0, mostPages);
                break;
            default:
                json.Skip();
                break;
        }
    }

    /// <summary>Ranges <c>[start, end)</c>, ascending.</summary>
    private static List<AddressRange> Ranges(ref JsonCursor json)
    {
        List<AddressRange> ranges = [];
        ulong last = 0;
        json.BeginArray();
        while (json.NextElement())
        {
            json.BeginArray();
            ulong start = json.NextElement() ? json.Address() : throw json.Fault("a range has no start");
            ulong end = json.NextElement() ? json.Address() : throw json.Fault("a range has no end");
            if (json.NextElement() || start < last || end <= start)
            {
                throw json.Fault($"0x{start:x}-0x{end:x} is no range after 0x{last:x}");
            }

            last = end;
            ranges.Add(new AddressRange(start, end));
        }

        return ranges;
    }
}
