using System.Text.Json;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

public class ReplayTests(RecordingsFixture recordings)
{
    [Fact]
    public void A_run_of_the_page_allocator_matches_whole()
    {
        ToolRun run = ToolRun.Of("replay", recordings.Run);
        run.ShouldMatchWhole();
        run.Out.Should().Contain("pfn").And.Contain("free list");
        run.Error.Should().BeEmpty("nobody watches");
    }

    [Fact]
    public void The_document_counts_by_kind()
    {
        ToolRun run = ToolRun.Of("replay", recordings.Run, "--json");
        run.ExitCode.Should().Be(0, run.Error);
        JsonElement json = run.Json();
        json.GetProperty("verb").GetString().Should().Be("replay");
        json.GetProperty("matched").GetInt64().Should().Be(json.GetProperty("compared").GetInt64()).And.BePositive();
        json.GetProperty("fell_short").GetBoolean().Should().BeFalse();
        JsonElement recording = json.GetProperty("recordings")[0];
        recording.GetProperty("counts").EnumerateArray().Sum(c => c.GetProperty("matched").GetInt64()).Should().Be(json.GetProperty("matched").GetInt64());
        recording.GetProperty("operations").GetInt64().Should().Be(16216);
        recording.GetProperty("trace").ValueKind.Should().Be(JsonValueKind.Null);
    }

    [Fact]
    public void A_counter_that_differs_is_shown_and_gives_1()
    {
        string folder = Tampered(line => line.StartsWith("B ", StringComparison.Ordinal) && !line.EndsWith('='), line => line[..^1] + (char)('0' + ((line[^1] - '0' + 1) % 10)));
        ToolRun run = ToolRun.Of("replay", folder);
        run.ExitCode.Should().Be(1);
        run.Out.Should().Contain("first mismatch:\ncounter: line ");
        run.LastLine.Should().MatchRegex("^matched [0-9]+ of [0-9]+$");
        ToolRun.Of("replay", folder, "--at-least", "50").ExitCode.Should().Be(0);
    }

    [Fact]
    public void A_frame_that_differs_stops_where_the_states_no_longer_fit()
    {
        // The first allocation is said to have returned another frame: its free names a block that is not live here.
        string folder = Tampered(line => line.StartsWith("A 0 ", StringComparison.Ordinal), line =>
        {
            string[] words = line.Split(' ');
            words[4] = "4096";
            return string.Join(' ', words);
        });
        ToolRun run = ToolRun.Of("replay", folder);
        run.ExitCode.Should().Be(1);
        run.Out.Should().Contain("the kernel returned pfn 4096").And.Contain("order 10");
        run.LastLine.Should().MatchRegex("^matched [0-9]+ of [0-9]+$");
        ToolRun.Of("replay", folder, "--json").Json().GetProperty("fell_short").GetBoolean().Should().BeTrue();
    }

    [Fact]
    public void A_trace_of_one_CPU_without_reclaim_reaches_99_8_percent()
    {
        ToolRun run = ToolRun.Of("replay", recordings.Trace, "--json");
        run.ExitCode.Should().Be(0, run.Error);
        JsonElement recording = run.Json().GetProperty("recordings")[0];
        recording.GetProperty("at_least_percent").GetDouble().Should().Be(99.8);
        recording.GetProperty("compared").GetInt64().Should().BeGreaterThan(10_000);
        recording.GetProperty("trace").GetProperty("event_counts").GetArrayLength().Should().BePositive();
        ToolRun text = ToolRun.Of("replay", Path.Combine(recordings.Trace, "trace.txt.gz"), "--like", recordings.Trace);
        text.ExitCode.Should().Be(0, text.Error);
        text.LastLine.Should().Be($"matched {recording.GetProperty("matched").GetInt64()} of {recording.GetProperty("compared").GetInt64()}");
        ToolRun.Of("replay", recordings.Trace, "--at-least", "100").ExitCode.Should().Be(recording.GetProperty("matched").GetInt64() == recording.GetProperty("compared").GetInt64() ? 0 : 1);
    }

    [Fact]
    public void Wake_ups_of_kswapd_are_reported_and_not_compared()
    {
        string folder = Path.Combine(AppContext.BaseDirectory, "Data", "traces", "i386-1G-smp1-oom");
        JsonElement trace = ToolRun.Of("replay", folder, "--json").Json().GetProperty("recordings")[0].GetProperty("trace");
        trace.GetProperty("kswapd_wakeups").GetProperty("recorded").GetInt64().Should().Be(1);
        trace.GetProperty("kswapd_wakeups").GetProperty("replayed").GetInt64().Should().Be(1);
        ToolRun.Of("replay", folder).Out.Should().Contain("kswapd woken: 1 times by the replayed allocations, 1 recorded");
        ToolRun.Of("replay", recordings.Trace).Out.Should().NotContain("kswapd woken");
    }

    [Fact]
    public void Recorded_slab_events_are_done_on_the_slab_layer_and_counted()
    {
        string folder = SlabTrace(128);
        ToolRun run = ToolRun.Of("replay", folder);
        run.ExitCode.Should().Be(0, run.Error);
        run.LastLine.Should().Be("matched 2 of 2");
        run.Out.Should().Contain("slab replay: 2 of 2 equal; 1 objects freed, 0 freed without an event, 1 frees of objects never seen allocated (not replayed); 1 live at the end");
        JsonElement recording = ToolRun.Of("replay", folder, "--json").Json().GetProperty("recordings")[0];
        recording.GetProperty("matched").GetInt64().Should().Be(2);
        JsonElement slab = recording.GetProperty("trace").GetProperty("slab").GetProperty("replay");
        slab.GetProperty("live_objects").GetInt64().Should().Be(1);
        slab.GetProperty("frees_of_unknown").GetInt64().Should().Be(1);
        slab.GetProperty("caches").EnumerateArray().Select(c => c.GetProperty("cache").GetString()).Should().Equal("kmalloc-128", "thing");
    }

    [Fact]
    public void A_slab_object_of_another_size_gives_1_unless_less_is_wanted()
    {
        string folder = SlabTrace(192);
        ToolRun run = ToolRun.Of("replay", folder);
        run.ExitCode.Should().Be(1);
        run.LastLine.Should().Be("matched 1 of 2");
        run.Out.Should().Contain("192 delivered, 128 here");
        ToolRun.Of("replay", folder, "--at-least", "50").ExitCode.Should().Be(0);
        ToolRun.Of("replay", folder, "--at-least", "51").ExitCode.Should().Be(1);
    }

    [Fact]
    public void A_trace_follows_the_rules_asked_for_and_says_which()
    {
        ToolRun own = ToolRun.Of("replay", recordings.Trace);
        own.Out.Should().Contain("rules: Linux 6.1");
        JsonElement trace = ToolRun.Of("replay", recordings.Trace, "--kernel", "7.3", "--json").Json().GetProperty("recordings")[0].GetProperty("trace");
        trace.GetProperty("kernel").GetString().Should().Be("7.3");
        trace.GetProperty("warnings").GetArrayLength().Should().Be(0);

        ToolRun exact = ToolRun.Of("replay", recordings.Run, "--kernel", "7.3");
        exact.ExitCode.Should().Be(1, "6.1 did what it did");
        exact.Out.Should().Contain("rules: Linux 7.3");
    }

    [Fact]
    public void A_damaged_trace_is_refused()
    {
        string folder = recordings.CopyOf(recordings.Trace);
        string path = Path.Combine(folder, "trace.txt.gz");
        byte[] whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path, whole[..(whole.Length / 3)]);
        ToolRun.Of("replay", folder).ShouldBeRefused(path);
        File.WriteAllText(path, "this is no trace\n");
        ToolRun.Of("replay", folder).ShouldBeRefused(path);
        File.WriteAllBytes(path, whole);
        File.WriteAllBytes(Path.Combine(folder, "before-mmlists"), [0xff, 0xfe, 0, 1, (byte)'\n']);
        ToolRun.Of("replay", folder).ShouldBeRefused("before-mmlists");
    }

    [Fact]
    public void Several_recordings_add_up()
    {
        ToolRun run = ToolRun.Of("replay", recordings.Run, recordings.GfpFolder("512M-gfp"));
        run.ShouldMatchWhole();
        run.LastLine.Should().Be($"matched {81920 + 665} of {81920 + 665}");
    }

    [Theory]
    [InlineData("512M-gfp")]
    [InlineData("1G-movable-gfp")]
    public void Recorded_flags_match_whole(string name)
    {
        ToolRun run = ToolRun.Of("replay", recordings.GfpFolder(name));
        run.ShouldMatchWhole();
        run.LastLine.Should().Be("matched 665 of 665");
    }

    [Theory]
    [InlineData("\"name\":\"___GFP_DMA\",\"value\":1", "\"name\":\"___GFP_DMA\",\"value\":2", "___GFP_DMA is 0x2, here 0x1")]
    [InlineData("\"gfp_zone\":2", "\"gfp_zone\":1", "zone 1, here 2")]
    [InlineData("\"gfp_migratetype\":1", "\"gfp_migratetype\":2", "migrate type 2, here 1")]
    [InlineData("\"bad_combo\":true", "\"bad_combo\":false", "legal")]
    [InlineData("\"tried\":true,\"zone\":\"DMA\"", "\"tried\":true,\"zone\":\"DMA32\"", "a page of DMA32, here of DMA")]
    public void A_flag_that_differs_is_shown_and_gives_1(string recorded, string damaged, string shown)
    {
        string folder = recordings.GfpFolder("512M-gfp");
        string file = Path.Combine(folder, "gfp.jsonl.gz");
        string text = RecordingsFixture.Unpack(file);
        int at = text.IndexOf(recorded, StringComparison.Ordinal);
        RecordingsFixture.Pack(file, text[..at] + damaged + text[(at + recorded.Length)..]);
        ToolRun run = ToolRun.Of("replay", folder);
        run.ExitCode.Should().Be(1);
        run.Out.Should().Contain(shown);
        run.LastLine.Should().Be("matched 664 of 665");
    }

    [Theory]
    [InlineData("{\"t\":\"decode\",\"gfp\":1}", "gfp.jsonl.gz(1): 'gfp_zone' is missing")]
    [InlineData("{\"t\":\"bit\",\"name\":\"x\",\"value\":4294967296}", "gfp.jsonl.gz(1): ")]
    [InlineData("{\"t\":\"zone\",\"idx\":7,\"name\":\"Attic\",\"populated\":true}", "Attic")]
    [InlineData("{\"t\":\"bit\"", "gfp.jsonl.gz(1): ")]
    [InlineData("", "gfp.jsonl.gz(1): ")]
    [InlineData("{\"t\":\"bit\",\"name\":\"___GFP_DMA\",\"value\":1}", "no zone is populated")]
    public void Malformed_flags_are_refused_with_file_and_line(string text, string reason)
    {
        string folder = recordings.EmptyFolder();
        RecordingsFixture.Pack(Path.Combine(folder, "gfp.jsonl.gz"), text + "\n");
        ToolRun.Of("replay", folder).ShouldBeRefused(reason);
    }

    [Fact]
    public void Malformed_vmalloc_data_is_refused_with_file_and_line()
    {
        string folder = recordings.EmptyFolder();
        RecordingsFixture.Pack(Path.Combine(folder, "vmalloc.jsonl.gz"), "{\"op\":\"vmalloc\"\n");
        ToolRun.Of("replay", folder).ShouldBeRefused("vmalloc.jsonl.gz(1): ");
    }

    [Theory]
    [InlineData("\n", "walk.jsonl.gz(1): ")]
    [InlineData("{\"t\":\"walk\",\"what\":\"x\",\"addr\":5,\"level\":1,\"entry\":0,\"present\":false}\n", "kernel addresses")]
    public void Malformed_walks_are_refused(string text, string reason)
    {
        string folder = recordings.EmptyFolder();
        RecordingsFixture.Pack(Path.Combine(folder, "walk.jsonl.gz"), text);
        ToolRun.Of("replay", folder).ShouldBeRefused(reason);
    }

    [Theory]
    [InlineData("kmalloc.txt.gz", "KERNEL 0 ZERO_SIZE_PTR -\nKERNEL 9 16 kmalloc-16\nKERNEL_ACCOUNT 100 128 kmalloc-cg-128\n", "matched 6 of 6", 0)]
    [InlineData("kmalloc.txt.gz", "KERNEL 9 16 kmalloc-16\nKERNEL 9 17 kmalloc-16\n", "matched 3 of 4", 1)]
    [InlineData("caches.jsonl.gz", "{\"t\":\"env\",\"nr_cpu_ids\":1}\n{\"t\":\"existing\",\"name\":\"a\",\"object_size\":256,\"size\":256,\"align\":8,\"order\":0,\"objects\":17,\"flags\":0,\"ctor\":false}\n", "matched 3 of 5", 1)]
    public void Recorded_slab_requests_are_done_again(string file, string text, string last, int exitCode)
    {
        string folder = recordings.EmptyFolder();
        RecordingsFixture.Pack(Path.Combine(folder, file), text);
        ToolRun run = ToolRun.Of("replay", folder);
        run.LastLine.Should().Be(last);
        run.ExitCode.Should().Be(exitCode);
    }

    [Theory]
    [InlineData("kmalloc.txt.gz", "KERNEL x 8 kmalloc-8", "kmalloc.txt.gz(1): ")]
    [InlineData("kmalloc.txt.gz", "ATTIC 8 8 kmalloc-8", "kmalloc.txt.gz(1): ")]
    [InlineData("caches.jsonl.gz", "{\"t\":\"existing\",\"name\":\"a\"}", "caches.jsonl.gz(1): ")]
    [InlineData("caches.jsonl.gz", "{", "caches.jsonl.gz(1): ")]
    public void Malformed_slab_records_are_refused_with_file_and_line(string file, string text, string reason)
    {
        string folder = recordings.EmptyFolder();
        RecordingsFixture.Pack(Path.Combine(folder, file), text + "\n");
        ToolRun.Of("replay", folder).ShouldBeRefused(reason);
    }

    [Fact]
    public void What_is_no_recording_is_refused()
    {
        ToolRun.Of("replay", "/no/such/thing").ShouldBeRefused("/no/such/thing: no such file or folder");
        ToolRun.Of("replay", recordings.EmptyFolder()).ShouldBeRefused("no recording");
        ToolRun.Of("replay", "@" + recordings.Run).ShouldBeRefused("no such file or folder");
        ToolRun.Of("replay", recordings.Run, "--like", recordings.Twin).ShouldBeRefused("--like");
        ToolRun.Of("replay", recordings.Run, "--like", "/no/such/folder").ShouldBeRefused("no such folder");
        ToolRun.Of("replay", recordings.Run, "--at-least", "101").ShouldBeRefused("--at-least");
        ToolRun.Of("replay", recordings.Run, "--at-least", "NaN").ShouldBeRefused("--at-least");
    }

    [Theory]
    [InlineData("state-pre.json.gz")]
    [InlineData("ops.txt.gz")]
    [InlineData("state-post.json.gz")]
    public void A_file_that_was_cut_off_or_is_garbage_is_refused(string file)
    {
        string folder = recordings.CopyOf(recordings.Run);
        string path = Path.Combine(folder, file);
        byte[] whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path, whole[..(whole.Length / 2)]);
        ToolRun.Of("replay", folder).ShouldBeRefused(path);
        File.WriteAllBytes(path, [0x1f, 0x8b, 0, 1, 2, 3, 0xff, 0xfe]);
        ToolRun.Of("replay", folder).ShouldBeRefused(path);
        File.WriteAllBytes(path, [0xc3, 0x28, 0, 0xff, (byte)'\n']);
        ToolRun.Of("replay", folder).ShouldBeRefused(path);
    }

    [Theory]
    [InlineData("state-pre.json.gz")]
    [InlineData("ops.txt.gz")]
    public void A_missing_file_is_named(string file)
    {
        string folder = recordings.CopyOf(recordings.Run);
        File.Delete(Path.Combine(folder, file));
        ToolRun.Of("replay", folder).ShouldBeRefused($"{Path.Combine(folder, file)}: no such file");
        Directory.CreateDirectory(Path.Combine(folder, file));
        ToolRun.Of("replay", folder).ShouldBeRefused(file);
    }

    [Fact]
    public void A_state_that_contradicts_itself_is_refused()
    {
        string folder = recordings.CopyOf(recordings.Run);
        string path = Path.Combine(folder, "state-pre.json.gz");
        string text = RecordingsFixture.Unpack(path);
        int at = text.LastIndexOf("\"managed\":", StringComparison.Ordinal) + "\"managed\":".Length;
        RecordingsFixture.Pack(path, text[..at] + "1" + text[text.IndexOf(',', at)..]);
        ToolRun.Of("replay", folder).ShouldBeRefused(path);
    }

    private string Tampered(Predicate<string> which, Func<string, string> change)
    {
        string folder = recordings.CopyOf(recordings.Run);
        string path = Path.Combine(folder, "ops.txt.gz");
        string[] lines = RecordingsFixture.Unpack(path).Split('\n');
        int at = Array.FindIndex(lines, which);
        lines[at] = change(lines[at]);
        RecordingsFixture.Pack(path, string.Join('\n', lines));
        return folder;
    }

    private string SlabTrace(int delivered)
    {
        string folder = recordings.EmptyFolder();
        File.WriteAllLines(
            Path.Combine(folder, "trace.txt"),
            [
                "# tracer: nop",
                $"  memcap-98 [000] .....  3.427140: kmalloc: call_site=a+0x1/0x2 ptr=ffff888004000000 bytes_req=100 bytes_alloc={delivered} gfp_flags=GFP_KERNEL node=-1 accounted=false",
                "  memcap-98 [000] .....  3.427141: kmem_cache_alloc: call_site=a+0x1/0x2 ptr=ffff888004001000 bytes_req=24 bytes_alloc=32 gfp_flags=GFP_KERNEL node=-1 accounted=false",
                "  memcap-98 [000] .....  3.427142: kmem_cache_free: call_site=a+0x1/0x2 ptr=ffff888004001000 name=thing",
                "  memcap-98 [000] .....  3.427143: kfree: call_site=a+0x1/0x2 ptr=ffff888004002000",
            ]);
        return folder;
    }
}
