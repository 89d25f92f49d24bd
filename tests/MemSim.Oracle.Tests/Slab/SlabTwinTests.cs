using System.Formats.Tar;
using System.IO.Compression;
using FluentAssertions;
using MemSim.Kernels;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Slab;

/// <summary>Every object cache of every captured machine: slab size, order, objects per slab and partial limits follow from its request.</summary>
public sealed class SlabTwinTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("memsim-slab-").FullName;

    [Fact]
    public void All_caches_of_all_captures_agree()
    {
        using (GZipStream stream = new(File.OpenRead(SlabRecords.DataFile("sysfs.tar.gz")), CompressionMode.Decompress))
        {
            TarFile.ExtractToDirectory(stream, _root, overwriteFiles: true);
        }

        int matched = 0;
        int incomparable = 0;
        List<string> differences = [];
        foreach (string directory in Directory.GetDirectories(_root).Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileName(directory);
            (Architecture architecture, KernelPersonality kernel, int cpus) = MachineOf(directory);
            foreach (TwinRow row in SlabTwin.Compare(directory, architecture, kernel, cpus))
            {
                matched += row.Verdict == TwinVerdict.Match ? 1 : 0;
                incomparable += row.Verdict == TwinVerdict.NotComparable ? 1 : 0;
                if (row.Verdict == TwinVerdict.Mismatch)
                {
                    differences.Add($"{name}: {row}");
                }
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"matched {matched} of {matched + differences.Count}, {incomparable} not comparable");
        differences.Should().BeEmpty($"{matched} of {matched + differences.Count} match, {incomparable} are not comparable");
        matched.Should().BeGreaterThan(50_000);
        incomparable.Should().BeLessThan(matched / 500);
    }

    [Fact]
    public void A_damaged_file_is_refused_with_its_line()
    {
        string file = Path.Combine(_root, "slab-sysfs.txt");
        File.WriteAllText(file, "name\tobject_size\talign\tred_zone\tpoison\tstore_user\thwcache_align\tcache_dma\treclaim_account\tsanity_checks\tdestroy_by_rcu\tctor\nx\t8\t8\t0\t0\t0\t0\t0\t0\t0\tyes\t\n");
        Action act = () => SlabTwin.Compare(_root, Architecture.X86_64, KernelLines.Linux6_1, 1);
        act.Should().Throw<InputFileException>().Which.Message.Should().EndWith("(2): destroy_by_rcu: 'yes' is not a number");
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private static (Architecture Architecture, KernelPersonality Kernel, int Cpus) MachineOf(string directory)
    {
        string name = Path.GetFileName(directory);
        Architecture architecture = name.StartsWith("amd64", StringComparison.Ordinal) ? Architecture.X86_64
            : name.StartsWith("arm64", StringComparison.Ordinal) ? Architecture.Arm64
            : name.StartsWith("i386pae", StringComparison.Ordinal) ? Architecture.X86_32Pae : Architecture.X86_32;
        string[] qemu = File.ReadAllText(Path.Combine(directory, "cmdline")).Split(' ');
        int smp = Array.IndexOf(qemu, "-smp");
        return (architecture, KernelPersonality.Parse(File.ReadAllText(Path.Combine(directory, "uname"))), smp < 0 ? 1 : int.Parse(qemu[smp + 1].Split(',')[0], System.Globalization.CultureInfo.InvariantCulture));
    }
}
