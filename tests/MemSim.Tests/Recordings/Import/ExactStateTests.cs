using System.Text;
using FluentAssertions;
using MemSim.Observability;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Tests.Recordings.Import;

public class ExactStateTests
{
    [Fact]
    public void A_state_of_two_nodes_two_cpus_and_cma_survives()
    {
        AllocatorState state = Arm64State();
        Parse(Json(state)).Should().BeEquivalentTo(state, options => options.WithStrictOrdering());
    }

    [Fact]
    public void Files_are_packed_when_named_so()
    {
        AllocatorState state = Arm64State();
        string folder = Directory.CreateTempSubdirectory("memsim-state-").FullName;
        try
        {
            string path = Path.Combine(folder, "state.json.gz");
            ExactStateWriter.Write(state, path);
            File.ReadAllBytes(path)[..2].Should().Equal(0x1f, 0x8b);
            ExactStateReader.Read(path).Should().BeEquivalentTo(state, options => options.WithStrictOrdering());
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData("\"start_pfn\":0", "\"start_pfn\":-1", "'start_pfn' is -1, not from 0")]
    [InlineData("\"start_pfn\":0", "\"start_pfn\":\"0\"", "'start_pfn' is not a whole number")]
    [InlineData("\"start_pfn\":0", "\"start_pfn\":1.5", "'start_pfn' is not a whole number")]
    [InlineData("\"start_pfn\":0", "\"start_pfn\":99999999999999999999", "'start_pfn' is not a whole number")]
    [InlineData("\"start_pfn\":0,", "", "'start_pfn' is missing")]
    [InlineData("\"start_pfn\":0,", "\"start_pfn\":0,\"start_pfn\":0,", "'start_pfn' comes twice")]
    [InlineData("[64,", "[4096,", "frame 4096 is outside of the zone's frames 0 to 1023")]
    [InlineData("[64,", "[65,", "frame 65 is not aligned to 2^1 pages")]
    [InlineData("\"nr_free\":2", "\"nr_free\":3", "order 1 has nr_free 3 but lists 2 blocks")]
    [InlineData("\"count\":1,", "\"count\":7,", "count is 7 but the lists hold 1 pages")]
    [InlineData("\"pageblocks\":\"1.\"", "\"pageblocks\":\"1\"", "1 page blocks from 0 on, but the zone touches 2")]
    [InlineData("\"pageblocks\":\"1.\"", "\"pageblocks\":\"1x\"", "'pageblocks' holds 'x' at position 1")]
    [InlineData("\"lowmem_reserve\":[0,1,2,3]", "\"lowmem_reserve\":[0,1,2]", "'lowmem_reserve' has 3 numbers instead of 4")]
    [InlineData("\"cached_mt\":[[2],", "\"cached_mt\":[[],", "list 0 has 1 pages but 0 cached types")]
    [InlineData("\"cached_mt\":[[2],", "\"cached_mt\":[[9],", "'cached_mt' holds 9")]
    [InlineData("\"cached_mt\":[[2],", "\"cached_mt\":[", "there are 13 lists instead of 14")]
    [InlineData("\"name\":\"DMA\"", "\"name\":\"Normal\"", "no zone 0 named Normal on arm64")]
    [InlineData("\"name\":\"DMA\"", "\"name\":7", "'name' is not a string")]
    [InlineData("\"managed\":1000", "\"managed\":2000", "contradict each other")]
    [InlineData("\"nr_zones\":4", "\"nr_zones\":5", "'nr_zones' is 5, but arm64 has 4 zones")]
    [InlineData("\"max_order\":11", "\"max_order\":10", "'max_order' is 10, not from 11 to 11")]
    [InlineData("\"architecture\":\"arm64\"", "\"architecture\":\"vax\"", "\"vax\", which is unknown")]
    [InlineData("\"lru_or_movable\":[[5,3]]", "\"lru_or_movable\":[[5,3,1]]", "[first frame, pages]")]
    [InlineData("\"lru_or_movable\":[[5,3]]", "\"lru_or_movable\":[[1020,5]]", "outside of the zone")]
    [InlineData("\"t\":\"state\"", "\"t\":\"trace\"", "'t' is not \"state\"")]
    [InlineData("\"zones\":[", "\"zones\":7,\"x\":[", "'zones' is not an array")]
    public void A_wrong_state_is_refused_with_the_reason(string right, string wrong, string reason)
    {
        string json = Json(Arm64State());
        int at = json.IndexOf(right, StringComparison.Ordinal);
        at.Should().BePositive(right);
        string broken = json[..at] + wrong + json[(at + right.Length)..];
        FluentActions.Invoking(() => Parse(broken)).Should().Throw<InputFileException>().WithMessage($"state*: *{reason}*");
    }

    [Fact]
    public void Every_cut_off_document_is_refused()
    {
        string json = Json(Arm64State()).TrimEnd();
        for (int length = 0; length < json.Length; length += 7)
        {
            string cut = json[..length];
            FluentActions.Invoking(() => Parse(cut)).Should().Throw<InputFileException>();
        }
    }

    [Fact]
    public void The_line_is_that_of_the_fault()
    {
        string json = Json(Arm64State()).Replace("\"zones\":[{", "\"zones\":[\n{", StringComparison.Ordinal).Replace("\"present\":1024", "\n\"present\":-4", StringComparison.Ordinal);
        FluentActions.Invoking(() => Parse(json)).Should().Throw<InputFileException>().WithMessage("state(3): 'present' is -4*").Which.Line.Should().Be(3);
    }

    private static AllocatorState Parse(string json) => ExactStateReader.Parse(Encoding.UTF8.GetBytes(json), "state");

    private static string Json(AllocatorState state)
    {
        using MemoryStream stream = new();
        ExactStateWriter.Write(state, stream);
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    private static AllocatorState Arm64State()
    {
        AllocatorState state = new() { Name = "test/now", Architecture = Architecture.Arm64, CpuCount = 2 };
        state.Zones.Add(Zone(node: 0, ZoneType.Dma, start: 0));
        state.Zones.Add(Zone(node: 1, ZoneType.Normal, start: 1 << 20));
        return state;
    }

    private static ZoneState Zone(int node, ZoneType type, long start)
    {
        ZoneState zone = new()
        {
            Node = node,
            Type = type,
            StartPfn = start,
            SpannedPages = 1024,
            PresentPages = 1024,
            ManagedPages = 1000,
            WatermarkMin = 1,
            WatermarkLow = 2,
            WatermarkHigh = 3,
            WatermarkPromo = 4,
            WatermarkBoost = 5,
            ReservedHighAtomicPages = 6,
            IsolatedPageblocks = 7,
            Flags = 3,
            LowmemReserve = [0, 1, 2, 3],
            FreePages = 60,
            FreePagesCpuDiff = [-3, 4],
            StatThreshold = 8,
            FirstPageblock = start >> 9,
            Pageblocks = [(byte)MigrateType.Movable, ZoneState.NoPageblock],
            FreeLists = new long[PageGeometry.OrderCount][][],
        };
        for (int order = 0; order < PageGeometry.OrderCount; order++)
        {
            zone.FreeLists[order] = [[], [], [], [], [], []];
        }

        zone.FreeLists[1][(int)MigrateType.Cma] = [start + 64, start + 32];
        zone.FreeLists[0][(int)MigrateType.Isolate] = [start + 9];
        zone.LruOrMovable.Add((start + 5, 3));
        for (int cpu = 0; cpu < 2; cpu++)
        {
            long[][] lists = [[start + 11 + cpu], [], [], [], [], [], [], [], [], [], [], [], [], []];
            byte[][] cached = [[(byte)MigrateType.Reclaimable], [], [], [], [], [], [], [], [], [], [], [], [], []];
            zone.Pcp.Add(new PcpState { Count = 1, High = 20, Batch = 5, FreeFactor = 1, Lists = lists, CachedTypes = cached });
        }

        return zone;
    }
}
