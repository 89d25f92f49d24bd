using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>Real logs, damaged at random: whatever stands in a file, it is read and explained without an exception, in time and memory that its length bounds.</summary>
public sealed class FuzzTests
{
    private static readonly string[] Seeds = [.. Directory.GetFiles(Path.Combine(Logs.Folder, "cases")).Order().Concat(Directory.GetFiles(Path.Combine(Logs.Folder, "reports")).Order()).Select(File.ReadAllText)];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_damaged_log_is_read_and_explained(int seed)
    {
        Random random = new(seed);
        for (int i = 0; i < 400; i++)
        {
            string text = Damaged(random, Seeds[random.Next(Seeds.Length)]);
            try
            {
                foreach (ReportExplanation explanation in Logs.Explain(text))
                {
                    explanation.ToString().Length.Should().BeLessThan(1 << 20);
                }
            }
            catch (Exception e) when (e is not Xunit.Sdk.XunitException)
            {
                throw new InvalidOperationException($"seed {seed}, text {i}:\n{text}", e);
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_damaged_folder_of_proc_files_is_read_or_refused(int seed)
    {
        string root = Directory.CreateTempSubdirectory("memsim-").FullName;
        try
        {
            using (GZipStream stream = new(File.OpenRead(Path.Combine(Logs.Folder, "zoneinfo", "cases.tar.gz")), CompressionMode.Decompress))
            {
                TarFile.ExtractToDirectory(stream, root, overwriteFiles: true);
            }

            Random random = new(seed);
            string[] folders = [.. Directory.GetDirectories(root).Order(StringComparer.Ordinal)];
            int refused = 0;
            for (int i = 0; i < 250; i++)
            {
                string folder = folders[random.Next(folders.Length)];
                string[] files = [.. Directory.GetFiles(folder).Order(StringComparer.Ordinal)];
                string file = files[random.Next(files.Length)];
                string whole = File.ReadAllText(file);
                string damaged = Damaged(random, whole);
                File.WriteAllText(file, damaged);
                try
                {
                    ReportExplainer.Explain(ProcState.Read(folder, GfpReading.Parse("GFP_KERNEL"), random.Next(11))).ToString().Length.Should().BeLessThan(1 << 20);
                    _ = ProcState.ReadText(damaged, GfpReading.Parse("GFP_ATOMIC"), 3);
                }
                catch (FormatException e)
                {
                    e.Message.Should().MatchRegex(@"\(\d+\): ", "it names the line");
                    refused++;
                }
                catch (Exception e) when (e is not Xunit.Sdk.XunitException)
                {
                    throw new InvalidOperationException($"seed {seed}, input {i}, {Path.GetFileName(file)}:\n{damaged}", e);
                }
                finally
                {
                    File.WriteAllText(file, whole);
                }
            }

            refused.Should().BeInRange(1, 249);
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }

    [Fact]
    public void A_line_without_an_end_and_a_file_of_nothing_but_brackets_are_read_in_bounded_memory()
    {
        foreach (char c in "[(=>{ \\\"1n")
        {
            Logs.Explain(new string(c, 3_000_000)).Should().BeEmpty();
            KernelLog.Read("x: page allocation failure: order:0, mode:0x20" + new string(c, 3_000_000)).Should().HaveCountLessThan(2);
        }
    }

    [Fact]
    public void Numbers_beyond_every_machine_do_not_break_the_arithmetic()
    {
        ReportExplanation explanation = Logs.Only("""
            x: page allocation failure: order:3, mode:0xcc0(GFP_KERNEL), nodemask=(null)
            CPU: 0 PID: 11 Comm: x Not tainted 5.10.0 #1
            Node 0 DMA32 free:9223372036854775807kB min:99395541895224kB low:73886371836733356kB high:147673348131571488kB managed:9223372036854775807kB
            lowmem_reserve[]: 0 0 72057594037927865 72057594037927865
            Node 0 Normal free:99999999999999999999kB min:99395541895224kB low:1kB high:2kB
            Node 0 DMA32: 999999999999*4kB (U) 0*8kB 999999999999*16kB = 9223372036854775807kB
            """);
        explanation.ToString().Should().NotBeEmpty();
    }

    [Fact]
    public void Signs_of_age_that_contradict_each_other_leave_a_kernel_to_explain_by()
    {
        // A million damaged logs had nine of this kind: what one line shows began with the kernel with which what another shows ended.
        ReportExplanation explanation = Logs.Only("""
            x invoked oom-killer: gfp_mask=0x200da, order=0, oom_score_adj=0
            Normal free:1200kB min:2840kB low:3552kB high:4264kB reserved_highatomic:0KB unstable:0kB present:1000kB managed:1000kB
            lowmem_reserve[]: 0 0 0
            Normal: 300*4kB (R) 0*8kB = 1200kB
            """);

        explanation.Rules.Should().Contain("contradict each other");
        explanation.GfpNames.Should().NotBeEmpty();
    }

    private static string Damaged(Random random, string text)
    {
        StringBuilder damaged = new(text);
        int changes = 1 + random.Next(12);
        for (int i = 0; i < changes && damaged.Length > 2; i++)
        {
            int at = random.Next(damaged.Length);
            switch (random.Next(9))
            {
                case 0:
                    damaged.Remove(at, Math.Min(damaged.Length - at, 1 + random.Next(40)));
                    break;
                case 1:
                    damaged.Insert(at, (char)random.Next(1, 256));
                    break;
                case 2:
                    damaged.Insert(at, new string("0123456789[](){}=*:,kB \n\"\\"[random.Next(26)], 1 + random.Next(20)));
                    break;
                case 3:
                    // A line twice or somewhere else.
                    string[] lines = damaged.ToString().Split('\n');
                    string line = lines[random.Next(lines.Length)];
                    damaged.Insert(at, "\n" + line + "\n");
                    break;
                case 4:
                    damaged.Length = at;
                    break;
                case 5:
                    damaged[at] = (char)random.Next(1, 0x3000);
                    break;
                case 6:
                    damaged.Insert(at, Seeds[random.Next(Seeds.Length)]);
                    break;
                case 7:
                    for (int d = at; d < damaged.Length && d < at + 30; d++)
                    {
                        damaged[d] = char.IsAsciiDigit(damaged[d]) ? (char)('0' + random.Next(10)) : damaged[d];
                    }

                    break;
                default:
                    string wrapped = Wrappings.All.Values.ElementAt(random.Next(Wrappings.All.Count))(damaged.ToString());
                    damaged.Clear().Append(wrapped);
                    break;
            }

            if (damaged.Length > 200_000)
            {
                damaged.Length = 200_000;
            }
        }

        return damaged.ToString();
    }
}
