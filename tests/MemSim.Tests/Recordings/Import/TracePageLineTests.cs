using System.IO.Compression;
using System.Text;
using FluentAssertions;
using MemSim.Recordings;
using MemSim.Recordings.Import;
using Xunit;

namespace MemSim.Tests.Recordings.Import;

/// <summary>The short way through a page event's line says what the general way says, and nothing where that finds a fault.</summary>
public sealed class TracePageLineTests : IDisposable
{
    private const string Begin = "         busybox-106     [001] ";

    private static readonly string[] Ends =
    [
        ".....            3: mm_page_alloc: page=ffffea0000187e00 pfn=0x61f8 order=1 migratetype=0 gfp_flags=GFP_KERNEL_ACCOUNT|__GFP_ZERO",
        "d..3.     3.451194: mm_page_alloc_zone_locked: page=ffffea000015b240 pfn=0x56c9 order=10 migratetype=2 percpu_refill=1",
        "d..2. 12345.000001: mm_page_pcpu_drain: page=ffffea000015b240 pfn=0x56c9 order=0 migratetype=5",
        "..s1.     0.999999: mm_page_free: page=ffffea00003cacc0 pfn=0xf2b3 order=0",
        "...2.     7.000100: mm_page_free_batched: page=ffffea00003caf40 pfn=0xf2bd order=0",
    ];

    private readonly string _folder = Directory.CreateTempSubdirectory("memsim-lines-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Lines_as_ftrace_prints_them_go_the_short_way()
    {
        foreach (string end in Ends)
        {
            TracePageLine.TryParse(Encoding.ASCII.GetBytes(" " + end), out TracePageLine line).Should().BeTrue(end);
            line.EventName.Should().Be(end.Split(": ")[1]);
            TracePageLine.TryParse(Encoding.ASCII.GetBytes(" " + end + " "), out _).Should().BeFalse("a blank more is left to the general way");
        }
    }

    [Theory]
    [InlineData("pfn=0x61f8", "pfn=0x0")]
    [InlineData("pfn=0x61f8", "pfn=0xffffffff")]
    [InlineData("pfn=0x61f8", "pfn=0xffffffffffffffff")]
    [InlineData("page=ffffea0000187e00", "page=0000000000000000")]
    public void What_may_be_no_page_is_left_to_the_general_way(string field, string other) =>
        TracePageLine.TryParse(Encoding.ASCII.GetBytes(" " + Ends[0].Replace(field, other, StringComparison.Ordinal)), out _).Should().BeFalse();

    [Fact]
    public void Both_ways_say_the_same_of_damaged_lines()
    {
        const string characters = " 0123456789abcfgx=:.-|_[]";
        Random random = new(17);
        int events = 0;
        for (int round = 0; round < 20_000; round++)
        {
            StringBuilder text = new(Ends[random.Next(Ends.Length)]);
            for (int change = random.Next(3); change > 0; change--)
            {
                int at = random.Next(text.Length);
                switch (random.Next(3))
                {
                    case 0:
                        text[at] = characters[random.Next(characters.Length)];
                        break;
                    case 1:
                        text.Remove(at, 1);
                        break;
                    default:
                        text.Insert(at, characters[random.Next(characters.Length)]);
                        break;
                }
            }

            // A blank at the end means nothing, but closes the short way.
            string line = Begin + text;
            string expected = Read(line + " ");
            Read(line).Should().Be(expected, line);
            events += expected.StartsWith("1 ", StringComparison.Ordinal) ? 1 : 0;
        }

        events.Should().BeInRange(5_000, 19_000);
    }

    [Fact]
    public void Lines_of_tasks_in_turn_are_those_of_their_tasks()
    {
        string[] lines = [.. Enumerable.Range(0, 1000).Select(i => $"{"task" + (i * 7 % 90),16}-{100 + (i * 7 % 90)}     [00{i % 4}] {Ends[i % Ends.Length]}")];
        using TraceReader reader = new(ImportText.Of(lines), "trace");
        for (int i = 0; i < lines.Length; i++)
        {
            reader.TryRead(out TraceEvent e).Should().BeTrue();
            (e.TaskName, e.Pid, e.Cpu).Should().Be(("task" + (i * 7 % 90), 100 + (i * 7 % 90), i % 4));
        }
    }

    [Fact]
    public void Damage_in_a_packed_trace_is_told_after_the_events_before_it()
    {
        string path = Path.Combine(_folder, "trace.txt.gz");
        Random random = new(3);
        using (GZipStream packed = new(File.Create(path), CompressionLevel.Fastest))
        {
            for (int i = 0; i < 20_000; i++)
            {
                packed.Write(Encoding.ASCII.GetBytes($"{Begin}..... {i}.5: mm_page_free: page=ffffea00{random.Next():x8} pfn=0x{random.Next(1, 1 << 20):x} order=0\n"));
            }
        }

        byte[] whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path, whole[..(whole.Length / 2)]);
        using TraceReader reader = new(path);
        int events = 0;
        InputFileException thrown = FluentActions.Invoking(() =>
        {
            while (reader.TryRead(out _))
            {
                events++;
            }
        }).Should().Throw<InputFileException>().Which;

        // The last line before the damage is cut off: it may be lacking, or be no event.
        events.Should().BeInRange(5_000, 15_000);
        thrown.Line.Should().BeCloseTo(events + 1, 1);
    }

    /// <summary>How many events a line is, and what they say; or what is wrong with it. The line before makes the beginning known.</summary>
    private static string Read(string line)
    {
        using TraceReader reader = new(ImportText.Of(Begin + Ends[3], line), "trace");
        reader.TryRead(out _).Should().BeTrue();
        try
        {
            StringBuilder text = new();
            int events = 0;
            for (; reader.TryRead(out TraceEvent e); events++)
            {
                text.Append(System.Globalization.CultureInfo.InvariantCulture, $" {e} {e.Kind} {e.Context} {e.PreemptDepth} {e.Pfn} {e.Order} {e.MigrateType} {e.Gfp} {e.PercpuRefill} {e.Failed} {e.Node} {e.CallSite}");
            }

            return $"{events}{text} {reader.ClockCounts}";
        }
        catch (InputFileException e)
        {
            return e.Reason.Replace(" '", "'", StringComparison.Ordinal);
        }
    }
}
