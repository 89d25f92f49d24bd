using System.Text.Json;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

/// <summary><c>memsim stat</c> on a recording of a real 6.18 kernel with two CPUs, against what perf 6.1 (<c>perf kmem --slab stat</c>) said of the same file.</summary>
public class StatTests
{
    private static readonly string Recording = Path.Combine(AppContext.BaseDirectory, "Data", "stat", "perf-script.txt.gz");

    [Fact]
    public void The_totals_are_those_of_perf()
    {
        JsonElement slab = ToolRun.Of("stat", Recording, "--json").Json().GetProperty("slab");
        slab.GetProperty("bytes_requested").GetInt64().Should().Be(960_657);
        slab.GetProperty("bytes_allocated").GetInt64().Should().Be(964_408);
        slab.GetProperty("bytes_freed").GetInt64().Should().Be(905_064);
        slab.GetProperty("internal_fragmentation").GetDouble().Should().Be(0.0039);
        (slab.GetProperty("kmalloc_objects").GetInt64() + slab.GetProperty("cache_objects").GetInt64()).Should().Be(942);
    }

    /// <summary>Callers as perf lists them: bytes delivered and requested, objects, freed on another CPU.</summary>
    [Theory]
    [InlineData("lsm_blob_alloc+0x3b", 80, 55, 5, 0)]
    [InlineData("ext4_htree_store_dirent+0x34", 8160, 7022, 123, 0)]
    [InlineData("alloc_fdtable+0xd0", 192, 144, 2, 1)]
    [InlineData("mas_preallocate+0x3ef", 29184, 29184, 114, 0)]
    [InlineData("sched_setaffinity+0x10c", 96, 96, 3, 2)]
    public void Callers_are_those_of_perf(string caller, long allocated, long requested, long objects, long elsewhere)
    {
        JsonElement row = Rows("by_caller").Single(r => r.GetProperty("name").GetString() == caller);
        row.GetProperty("bytes_allocated").GetInt64().Should().Be(allocated);
        row.GetProperty("bytes_requested").GetInt64().Should().Be(requested);
        row.GetProperty("objects").GetInt64().Should().Be(objects);
        row.GetProperty("freed_elsewhere").GetInt64().Should().Be(elsewhere);
    }

    [Fact]
    public void Caches_are_named_and_add_up()
    {
        JsonElement[] caches = Rows("by_cache");
        caches.Select(r => r.GetProperty("name").GetString()).Should().Contain(["vm_area_struct", "maple_node", "kmalloc of 32 bytes"]).And.OnlyHaveUniqueItems();
        foreach (string field in (string[])["objects", "bytes_allocated", "live"])
        {
            caches.Sum(r => r.GetProperty(field).GetInt64()).Should().Be(Rows("by_caller").Sum(r => r.GetProperty(field).GetInt64()), field);
        }
    }

    [Theory]
    [InlineData("bytes", "bytes_allocated")]
    [InlineData("objects", "objects")]
    [InlineData("live", "live")]
    [InlineData("frag", "internal_fragmentation")]
    [InlineData("pingpong", "freed_elsewhere")]
    public void Rows_come_in_the_order_asked_for(string key, string field)
    {
        double[] values = [.. Rows("by_cache", "--sort", key).Select(r => r.GetProperty(field).GetDouble())];
        values.Should().BeInDescendingOrder();
        values.Distinct().Should().HaveCountGreaterThan(1);
    }

    [Fact]
    public void Text_has_as_many_rows_as_asked_for_and_says_what_it_left_out()
    {
        ToolRun run = ToolRun.Of("stat", Recording, "--caller", "--lines", "3");
        run.ExitCode.Should().Be(0);
        string[] lines = run.Out.Split('\n');
        int heading = Array.FindIndex(lines, l => l.StartsWith("caller", StringComparison.Ordinal));
        lines[heading + 1].Should().StartWith("getname_flags.part.0+0x24 ");
        lines[heading + 4].Should().Be("(43 more; --lines)");
    }

    [Fact]
    public void Pages_freed_in_pieces_are_not_taken_for_blocks()
    {
        const string Block = "  a-1  [000] .....  1.0: mm_page_alloc: page=00000000deadbeef pfn=0x100 order=2 migratetype=0 gfp_flags=GFP_KERNEL\n";
        const string Piece = "  a-1  [000] .....  1.1: mm_page_free: page=00000000deadbeef pfn=0x10{0} order=0\n";
        string trace = Block + string.Concat(Enumerable.Range(0, 4).Select(i => Piece.Replace("{0}", $"{i}", StringComparison.Ordinal)));
        string file = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        File.WriteAllText(file, trace);
        try
        {
            JsonElement pages = ToolRun.Of("stat", file, "--json").Json().GetProperty("pages");
            pages.GetProperty("allocated_blocks").GetInt64().Should().Be(1);
            pages.GetProperty("allocated_and_freed_blocks").GetInt64().Should().Be(0);
            pages.GetProperty("freed_pages").GetInt64().Should().Be(4);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory]
    [InlineData("--sort", "colour", "there is no 'colour'")]
    [InlineData("--lines", "-1", "no number of rows")]
    public void Nonsense_is_refused(string option, string value, string reason) => ToolRun.Of("stat", Recording, option, value).ShouldBeRefused(reason);

    private static JsonElement[] Rows(string list, params string[] options) => [.. ToolRun.Of(["stat", Recording, "--json", .. options]).Json().GetProperty("slab").GetProperty(list).EnumerateArray()];
}
