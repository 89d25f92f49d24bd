using System.Numerics;
using System.Text;
using MemSim.Captures;
using MemSim.Observability;
using MemSim.Recordings.Import;

namespace MemSim.Recordings;

/// <summary>Reads the page allocator's lists as a module recorded them beside a trace (<c>before-mmlists</c>, <c>after-mmlists</c>).</summary>
/// <remarks>
/// The file does not tell the free-page counters, so <see cref="ZoneState.FreePages"/> is what the free lists hold. Nor does it tell the lowmem reserve, the
/// counters' thresholds and unfolded parts, the zone flags, the types cached in per-CPU pages and the pages on LRU lists: those are 0 or empty
/// (zoneinfo and kpageflags have some of them).
/// </remarks>
public static class MmListsReader
{
    private const int MaxLineBytes = 1 << 28;
    private const long MaxPages = 1L << 40;
    private const int MaxCpu = 8191;

    /// <summary>Reads the state, plain or packed.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputFileException">The file cannot be read or contradicts itself.</exception>
    public static AllocatorState Read(string path) => ReadFile(path).State;

    /// <summary>Reads everything the file holds.</summary>
    /// <param name="path">The file, plain or packed.</param>
    /// <exception cref="InputFileException">The file cannot be read or contradicts itself.</exception>
    public static MmListsFile ReadFile(string path) => ReadFile(InputFile.Open(path), path);

    /// <summary>Reads everything from unpacked text, and closes the stream.</summary>
    /// <param name="stream">The text.</param>
    /// <param name="path">The name for messages.</param>
    /// <exception cref="InputFileException">The text contradicts itself or is cut off.</exception>
    public static MmListsFile ReadFile(Stream stream, string path)
    {
        using Utf8LineReader lines = new(stream, path, MaxLineBytes);
        Parser parser = new(lines);
        while (lines.TryRead(out ReadOnlySpan<byte> line))
        {
            if (!line.IsEmpty)
            {
                parser.ReadLine(line);
            }
        }

        return parser.Complete();
    }

    private sealed class Parser(Utf8LineReader lines)
    {
        private readonly AllocatorState _state = new() { Name = Path.GetFileName(Path.GetDirectoryName(lines.Path)) is { Length: > 0 } folder ? $"{folder}/{Path.GetFileName(lines.Path)}" : lines.Path };
        private readonly Dictionary<string, ulong> _layout = new(StringComparer.Ordinal);
        private readonly List<string> _zoneNames = [];
        private readonly List<int> _zoneLines = [];

        // By order: how many blocks the "area" line of the last zone announced.
        private readonly long[] _blocksAnnounced = new long[PageGeometry.OrderCount];
        private RecordedTypes _types;
        private int _pageStructBytes;
        private int _zoneStructBytes;
        private bool _hasBlocks = true;

        private ZoneState Zone => _state.Zones.Count > 0 ? _state.Zones[^1] : throw lines.Fault("comes before the first zone line");

        public void ReadLine(ReadOnlySpan<byte> line)
        {
            Utf8Fields fields = new(line);
            fields.TryNext(out ReadOnlySpan<byte> kind);
            if (_types.Count == 0 != kind.SequenceEqual("format"u8))
            {
                throw lines.Fault(_types.Count == 0 ? "the file does not start with a 'format mmlists' line" : "a second 'format' line");
            }

            if (kind.SequenceEqual("format"u8))
            {
                ReadFormat(ref fields);
            }
            else if (kind.SequenceEqual("layout"u8))
            {
                ReadLayout(ref fields);
            }
            else if (kind.SequenceEqual("zone"u8))
            {
                ReadZone(ref fields);
            }
            else if (kind.SequenceEqual("area"u8))
            {
                SameZone(ref fields);
                int order = (int)Named(ref fields, "order"u8, 0, PageGeometry.MaxOrder);
                if (_blocksAnnounced[order] >= 0)
                {
                    throw lines.Fault($"a second area of order {order}");
                }

                _blocksAnnounced[order] = Named(ref fields, "nr_free"u8, 0, MaxPages);
            }
            else if (kind.SequenceEqual("free"u8))
            {
                ReadFreeList(ref fields);
            }
            else if (kind.SequenceEqual("pcp"u8))
            {
                ReadPcp(ref fields);
            }
            else if (kind.SequenceEqual("pcplist"u8))
            {
                ReadPcpList(ref fields);
            }
            else if (kind.SequenceEqual("blocks"u8))
            {
                ReadBlocks(ref fields);
            }
            else if (!kind.SequenceEqual("compact"u8))
            {
                throw lines.Fault($"{Utf8Fields.Quote(kind)} is no kind of line of an mmlists file");
            }
        }

        public MmListsFile Complete()
        {
            if (_state.Zones.Count == 0)
            {
                throw new InputFileException(lines.Path, 0, "holds no zone");
            }

            FinishZone();
            _state.Architecture = FindArchitecture();
            ArchitectureInfo architecture = ArchitectureInfo.Of(_state.Architecture);
            _state.CpuCount = Math.Max(1, _state.Zones.Max(zone => zone.Pcp.Count));
            for (int i = 0; i < _state.Zones.Count; i++)
            {
                ZoneState zone = _state.Zones[i];
                zone.LowmemReserve = new long[architecture.ZoneTypes.Count];
                zone.FreePagesCpuDiff = new int[_state.CpuCount];
                while (zone.Pcp.Count < _state.CpuCount)
                {
                    zone.Pcp.Add(EmptyPcp());
                }

                string? fault = architecture.IndexOf(zone.Type) < 0 ? $"{architecture.Name} has no such zone" : ZoneStateCheck.FirstFault(zone, _state.PageblockOrder);
                if (fault is not null)
                {
                    throw new InputFileException(lines.Path, _zoneLines[i], $"zone {zone.Node} {_zoneNames[i]}: {fault}");
                }
            }

            return new MmListsFile(_state, _layout, _pageStructBytes, _zoneStructBytes);
        }

        private static PcpState EmptyPcp()
        {
            long[][] lists = new long[RecordedTypes.PcpLists][];
            Array.Fill(lists, []);
            return new PcpState { Lists = lists };
        }

        private Architecture FindArchitecture()
        {
            // 32-bit kernels are told by their addresses; with PAE huge pages are 2 MiB instead of 4.
            bool is32Bit = _layout.Count > 0 ? _layout.Values.All(address => address <= uint.MaxValue) : _zoneNames.Contains("HighMem");
            return (is32Bit, _state.PageblockOrder) switch
            {
                (true, 10) => Architecture.X86_32,
                (true, _) => Architecture.X86_32Pae,
                _ => IsArm64() ? Architecture.Arm64 : Architecture.X86_64,
            };
        }

        /// <summary>
        /// On arm64 the linear map starts the kernel's half, at minus a power of two; on x86-64 it lies behind a gap or at a random place. Six migrate types tell
        /// nothing where addresses are known: Debian's amd64 kernels have CMA too, from 7.2 on.
        /// </summary>
        private bool IsArm64()
        {
            const int FewestAddressBits = 36;
            return _layout.TryGetValue("page_offset", out ulong pageOffset)
                ? unchecked(0 - pageOffset) is ulong half && BitOperations.IsPow2(half) && half >= 1UL << FewestAddressBits
                : _types.Count == RecordedTypes.WithCma;
        }

        private void ReadFormat(ref Utf8Fields fields)
        {
            if (!fields.TryWord("mmlists"u8) || !fields.TryDecimal(1, 1, out _))
            {
                throw lines.Fault("is no 'format mmlists 1' line");
            }

            Named(ref fields, "max_order"u8, PageGeometry.OrderCount, PageGeometry.OrderCount);
            _state.PageblockOrder = (int)Named(ref fields, "pageblock_order"u8, 1, PageGeometry.MaxOrder);
            _types = new RecordedTypes((int)Named(ref fields, "migrate_types"u8, RecordedTypes.WithoutCma, RecordedTypes.WithCma));
            Named(ref fields, "pcp_types"u8, RecordedTypes.PcpTypes, RecordedTypes.PcpTypes);
            Named(ref fields, "pcp_lists"u8, RecordedTypes.PcpLists, RecordedTypes.PcpLists);
            _pageStructBytes = (int)Named(ref fields, "sizeof_page"u8, 1, 4096);
            _zoneStructBytes = (int)Named(ref fields, "sizeof_zone"u8, 1, 1 << 20);
        }

        private void ReadLayout(ref Utf8Fields fields)
        {
            while (fields.TryNext(out ReadOnlySpan<byte> name))
            {
                if (!fields.TryNext(out ReadOnlySpan<byte> value) || !Utf8Fields.TryParseHex(value, out ulong address) || !_layout.TryAdd(Encoding.UTF8.GetString(name), address))
                {
                    throw lines.Fault($"{Utf8Fields.Quote(name)} is not followed by a hexadecimal address, or comes twice");
                }
            }
        }

        private void ReadZone(ref Utf8Fields fields)
        {
            FinishZone();
            if (!fields.TryDecimal(0, 1023, out long node) || !fields.TryNext(out ReadOnlySpan<byte> nameText))
            {
                throw lines.Fault("does not start with 'zone NODE NAME'");
            }

            string name = Encoding.UTF8.GetString(nameText);
            if (!ZoneTypeNames.TryParse(name, out ZoneType type))
            {
                throw lines.Fault($"'{name}' is no zone");
            }

            for (int i = 0; i < _state.Zones.Count; i++)
            {
                if (_state.Zones[i].Node == node && _zoneNames[i] == name)
                {
                    throw lines.Fault($"zone {node} {name} comes twice");
                }
            }

            ZoneState zone = new()
            {
                Node = (int)node,
                Type = type,
                StartPfn = Named(ref fields, "start_pfn"u8, 0, MaxPages),
                SpannedPages = Named(ref fields, "spanned"u8, 0, MaxPages),
                PresentPages = Named(ref fields, "present"u8, 0, MaxPages),
                ManagedPages = Named(ref fields, "managed"u8, 0, MaxPages),
                WatermarkMin = Named(ref fields, "min"u8, 0, MaxPages),
                WatermarkLow = Named(ref fields, "low"u8, 0, MaxPages),
                WatermarkHigh = Named(ref fields, "high"u8, 0, MaxPages),
                WatermarkPromo = Named(ref fields, "promo"u8, 0, MaxPages),
                WatermarkBoost = Named(ref fields, "boost"u8, 0, MaxPages),
                ReservedHighAtomicPages = Named(ref fields, "nr_reserved_highatomic"u8, 0, MaxPages),
                FreeLists = new long[PageGeometry.OrderCount][][],
            };
            for (int order = 0; order < PageGeometry.OrderCount; order++)
            {
                zone.FreeLists[order] = new long[(int)MigrateType.Isolate + 1][];
                Array.Fill(zone.FreeLists[order], []);
            }

            Array.Fill(_blocksAnnounced, -1);
            _hasBlocks = false;
            _state.Zones.Add(zone);
            _zoneNames.Add(name);
            _zoneLines.Add(lines.Line);
        }

        /// <summary>Checks what the zone that ends here was to hold.</summary>
        private void FinishZone()
        {
            if (_state.Zones.Count == 0)
            {
                return;
            }

            ZoneState zone = Zone;
            int line = _zoneLines[^1];
            for (int order = 0; order < PageGeometry.OrderCount; order++)
            {
                long listed = zone.FreeLists[order].Sum(list => (long)list.Length);
                if (_blocksAnnounced[order] != listed)
                {
                    string announced = _blocksAnnounced[order] < 0 ? "has no area line" : $"has nr_free {_blocksAnnounced[order]}";
                    throw new InputFileException(lines.Path, line, $"zone {zone.Node} {_zoneNames[^1]}: order {order} {announced} but lists {listed} blocks");
                }

                zone.FreePages += listed << order;
            }

            if (!_hasBlocks)
            {
                throw new InputFileException(lines.Path, line, $"zone {zone.Node} {_zoneNames[^1]} has no 'blocks' line");
            }
        }

        private void ReadFreeList(ref Utf8Fields fields)
        {
            SameZone(ref fields);
            int order = (int)Named(ref fields, "order"u8, 0, PageGeometry.MaxOrder);
            int type = (int)_types.FromRecorded(LastNamed(ref fields, "type"u8, _types.Count - 1));
            if (Zone.FreeLists[order][type].Length > 0)
            {
                throw lines.Fault($"a second list of order {order} and this type");
            }

            Zone.FreeLists[order][type] = Frames(ref fields);
        }

        private void ReadPcp(ref Utf8Fields fields)
        {
            SameZone(ref fields);
            int cpu = (int)Named(ref fields, "cpu"u8, 0, MaxCpu);
            if (cpu < Zone.Pcp.Count)
            {
                throw lines.Fault($"per-CPU lists of CPU {cpu} come twice, or not in the order of CPUs");
            }

            // A CPU number without a line of its own is offline.
            while (Zone.Pcp.Count <= cpu)
            {
                Zone.Pcp.Add(EmptyPcp());
            }

            PcpState pcp = Zone.Pcp[cpu];
            pcp.Count = (int)Named(ref fields, "count"u8, 0, int.MaxValue);
            pcp.High = (int)Named(ref fields, "high"u8, 0, int.MaxValue);
            pcp.Batch = (int)Named(ref fields, "batch"u8, 0, int.MaxValue);
            pcp.FreeFactor = (int)Named(ref fields, "free_factor"u8, 0, 62);
            ReadMovingLimit(ref fields, pcp);
        }

        /// <summary>What kernels whose limit moves print besides; their free factor is always 0.</summary>
        private void ReadMovingLimit(ref Utf8Fields fields, PcpState pcp)
        {
            if (!fields.TryWord("high_min"u8))
            {
                return;
            }

            int least = fields.TryDecimal(0, int.MaxValue, out long value) ? (int)value : throw lines.Fault("high_min is followed by no number");
            pcp.HighBounds = (least, (int)Named(ref fields, "high_max"u8, 0, int.MaxValue));
            pcp.Flags = (int)Named(ref fields, "flags"u8, 0, int.MaxValue);
            pcp.AllocFactor = (int)Named(ref fields, "alloc_factor"u8, 0, 31);
            pcp.FreeFactor = (int)Named(ref fields, "free_count"u8, 0, int.MaxValue);
        }

        private void ReadPcpList(ref Utf8Fields fields)
        {
            SameZone(ref fields);
            int cpu = (int)Named(ref fields, "cpu"u8, 0, MaxCpu);
            int index = LastNamed(ref fields, "index"u8, RecordedTypes.PcpLists - 1);
            if (cpu >= Zone.Pcp.Count || Zone.Pcp[cpu].Lists[index].Length > 0)
            {
                throw lines.Fault($"list {index} of CPU {cpu} comes before its pcp line or twice");
            }

            Zone.Pcp[cpu].Lists[index] = Frames(ref fields);
        }

        private void ReadBlocks(ref Utf8Fields fields)
        {
            SameZone(ref fields);
            long from = LastNamedLong(ref fields, "from"u8, MaxPages);
            if (_hasBlocks || (from & ((1L << _state.PageblockOrder) - 1)) != 0)
            {
                throw lines.Fault(_hasBlocks ? "a second 'blocks' line" : $"frame {from} does not start a page block");
            }

            List<byte> blocks = [];
            while (fields.TryNext(out ReadOnlySpan<byte> field))
            {
                // The module prints the type of a page block of which no part is memory as -1.
                if (field is [(byte)'.'] or [(byte)'-'] || field.SequenceEqual("-1"u8))
                {
                    blocks.Add(ZoneState.NoPageblock);
                    continue;
                }

                if (!Utf8Fields.TryParseDecimal(field, out long type) || type < 0 || type >= _types.Count)
                {
                    throw lines.Fault($"{Utf8Fields.Quote(field)} is no migrate type below {_types.Count}");
                }

                blocks.Add((byte)_types.FromRecorded((int)type));
            }

            _hasBlocks = true;
            Zone.FirstPageblock = from >> _state.PageblockOrder;
            Zone.Pageblocks = [.. blocks];
        }

        private void SameZone(ref Utf8Fields fields)
        {
            if (!fields.TryDecimal(0, 1023, out long node) || !fields.TryNext(out ReadOnlySpan<byte> name) || node != Zone.Node || !name.SequenceEqual(Encoding.UTF8.GetBytes(_zoneNames[^1])))
            {
                throw lines.Fault("does not name the zone of the zone line above");
            }
        }

        private long[] Frames(ref Utf8Fields fields)
        {
            List<long> frames = [];
            while (fields.TryNext(out ReadOnlySpan<byte> field))
            {
                if (!Utf8Fields.TryParseDecimal(field, out long pfn) || pfn is < 0 or > MaxPages)
                {
                    throw lines.Fault($"{Utf8Fields.Quote(field)} is no frame number");
                }

                frames.Add(pfn);
            }

            return [.. frames];
        }

        private long Named(ref Utf8Fields fields, ReadOnlySpan<byte> name, long min, long max) =>
            fields.TryWord(name) && fields.TryDecimal(min, max, out long value)
                ? value
                : throw lines.Fault($"does not have '{Encoding.UTF8.GetString(name)}' with a number from {min} to {max} where it should");

        private int LastNamed(ref Utf8Fields fields, ReadOnlySpan<byte> name, int max) => (int)LastNamedLong(ref fields, name, max);

        /// <summary>A named number with a colon behind it, before a list.</summary>
        private long LastNamedLong(ref Utf8Fields fields, ReadOnlySpan<byte> name, long max) =>
            fields.TryWord(name) && fields.TryNext(out ReadOnlySpan<byte> field) && field[^1] == (byte)':' && Utf8Fields.TryParseDecimal(field[..^1], out long value) && value >= 0 && value <= max
                ? value
                : throw lines.Fault($"does not have '{Encoding.UTF8.GetString(name)} N:' with a number from 0 to {max} where it should");
    }
}
