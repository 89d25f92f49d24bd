using System.Globalization;
using System.IO.Compression;
using FluentAssertions;
using MemSim.Kernels;
using Xunit;

namespace MemSim.Oracle.Tests.Processes;

/// <summary>A real KSM advisor (Data/vma/ksmadvisor.c): what its files answer to right and wrong texts, and what it chose after scans that took so and so long.</summary>
public class RecordedAdvisorTests
{
    [Fact]
    public void The_files_of_the_advisor_answer_and_it_chooses_as_a_real_6_18s()
    {
        using Machine machine = Boot(KernelLines.Linux6_18);
        KsmSettings ksm = machine.Processes.Ksm;
        List<string> wrong = [];
        int writes = 0;
        int scans = 0;
        foreach (string line in Lines())
        {
            string[] words = line.Split(' ');
            if (words[0] == "w")
            {
                writes++;
                string here = $"w {words[1]} {words[2]} {Write(ksm, words[1], words[2])} | {State(ksm)}";
                if (here != line)
                {
                    wrong.Add($"recorded: {line}\n  here:     {here}");
                    break;
                }

                continue;
            }

            // How long a scan takes is the real machine's; what follows from it is computed.
            scans++;
            long pages = ksm.Advisor.Choose(Number(words[2]), (uint)Number(words[4]), (uint)Number(words[1]));
            if (pages != (long)Number(words[3]))
            {
                wrong.Add($"recorded: {line}\n  here:     {pages}");
            }
        }

        wrong.Should().BeEmpty();
        writes.Should().BeGreaterThan(500);
        scans.Should().BeGreaterThan(200);
    }

    [Fact]
    public void Kernels_before_6_8_have_no_advisor()
    {
        using Machine machine = Boot(KernelLines.Linux6_1);

        machine.Processes.Ksm.Files.Should().NotContain("advisor_mode");
        machine.Processes.Ksm.Invoking(ksm => ksm.Advises = true).Should().Throw<InvalidOperationException>();
    }

    private static IEnumerable<string> Lines()
    {
        using StreamReader lines = new(new GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "vma", "ksmadvisor-6.18.txt.gz")), CompressionMode.Decompress));
        while (lines.ReadLine() is { } line)
        {
            yield return line;
        }
    }

    private static Machine Boot(KernelPersonality rules) => Machine.Boot(MachineSpec.X86_64("128M").WithPersonality(rules));

    private static ulong Number(string word) => ulong.Parse(word, CultureInfo.InvariantCulture);

    private static int Write(KsmSettings ksm, string file, string text)
    {
        try
        {
            ksm[file] = text;
            return 0;
        }
        catch (ArgumentException)
        {
            return (int)Errno.EINVAL;
        }
    }

    private static string State(KsmSettings ksm) =>
        $"{(ksm.Advises ? "scan-time" : "none")} {ksm["advisor_max_cpu"]} {ksm["advisor_min_pages_to_scan"]} {ksm["advisor_max_pages_to_scan"]} {ksm["advisor_target_scan_time"]} {ksm["pages_to_scan"]}";
}
