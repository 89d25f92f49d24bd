using System.Globalization;
using MemSim.Kernels;

namespace MemSim.Explorer.Sessions;

/// <summary>Which machine a session boots: what a link says of it.</summary>
/// <param name="Architecture">The architecture.</param>
/// <param name="Memory">RAM, as <c>512M</c> or <c>16G</c>.</param>
/// <param name="Cpus">CPUs.</param>
/// <param name="Kernel">The kernel whose rules it follows, as <c>6.1</c>.</param>
/// <param name="Cma">Memory for contiguous areas, as <c>16M</c>; empty for none.</param>
/// <param name="Seed">What random workloads start from.</param>
/// <param name="CommandLine">More for the kernel's command line.</param>
public sealed record MachineChoice(Architecture Architecture = Architecture.X86_64, string Memory = "1G", int Cpus = 2, string Kernel = "6.1", string Cma = "", ulong Seed = 1, string CommandLine = "")
{
    /// <summary>The most a tab simulates: page frames and slab tables of 16 GiB take about 0.7 GiB of it.</summary>
    public const ulong LargestBytes = 16UL << 30;

    /// <summary>The most CPUs that the pages draw.</summary>
    public const int MostCpus = 16;

    private static readonly string[] s_names = ["x86_64", "x86_32", "x86_32-pae", "arm64"];

    /// <summary>The architectures by the names links use.</summary>
    public static IReadOnlyList<string> ArchitectureNames => s_names;

    /// <summary>The architecture's name.</summary>
    public string ArchitectureName => s_names[(int)Architecture];

    /// <summary>Reads the part of a link that says the machine.</summary>
    /// <exception cref="CommandException">A value cannot be; the message says what can.</exception>
    public static MachineChoice Parse(IReadOnlyDictionary<string, string> query, MachineChoice? otherwise = null)
    {
        MachineChoice choice = otherwise ?? new MachineChoice();
        if (query.TryGetValue("arch", out string? arch))
        {
            int index = Array.IndexOf(s_names, arch);
            choice = choice with { Architecture = index >= 0 ? (Architecture)index : throw new CommandException($"'{arch}' is no architecture: {string.Join(", ", s_names)}") };
        }

        choice = choice with
        {
            Memory = query.GetValueOrDefault("memory", choice.Memory),
            Kernel = query.GetValueOrDefault("kernel", choice.Kernel),
            Cma = query.GetValueOrDefault("cma", choice.Cma),
            CommandLine = query.GetValueOrDefault("cmdline", choice.CommandLine),
            Cpus = query.TryGetValue("cpus", out string? cpus) ? Number(cpus, 1, MostCpus, "CPUs") : choice.Cpus,
            Seed = query.TryGetValue("seed", out string? seed) ? (ulong)Number(seed, 0, int.MaxValue, "the seed") : choice.Seed,
        };
        choice.Check();
        return choice;
    }

    /// <summary>What a link says of this machine.</summary>
    public IEnumerable<KeyValuePair<string, string>> ToQuery()
    {
        yield return new("arch", ArchitectureName);
        yield return new("memory", Memory);
        yield return new("cpus", Cpus.ToString(CultureInfo.InvariantCulture));
        yield return new("kernel", Kernel);
        yield return new("seed", Seed.ToString(CultureInfo.InvariantCulture));
        if (Cma.Length > 0)
        {
            yield return new("cma", Cma);
        }

        if (CommandLine.Length > 0)
        {
            yield return new("cmdline", CommandLine);
        }
    }

    /// <summary>What to boot.</summary>
    public MachineSpec ToSpec()
    {
        Check();
        MachineSpec spec = MachineSpec.Preset(Architecture, Memory, Cpus).WithKernel(Kernel);
        spec = CommandLine.Length > 0 ? spec.WithCommandLine(CommandLine) : spec;
        return Cma.Length > 0 ? spec.WithCma("explorer", Cma) : spec;
    }

    private void Check()
    {
        if (!ByteSize.TryParse(Memory, out ByteSize size) || size.Bytes < 128 << 20 || size.Bytes > LargestBytes)
        {
            throw new CommandException($"'{Memory}' of memory: write 128M to 16G here; larger machines run in the memsim tool");
        }

        if (!KernelChoice.TryFor(Kernel, out _))
        {
            throw new CommandException($"'{Kernel}' is no version of a kernel: write for instance {string.Join(", ", KernelLines.All.Select(l => l.Name))}");
        }

        if (Cma.Length > 0 && (!ByteSize.TryParse(Cma, out ByteSize cma) || cma.Bytes * 2 > size.Bytes))
        {
            throw new CommandException($"'{Cma}' for contiguous areas: write a size of at most half the memory, as 16M");
        }
    }

    private static int Number(string text, int from, int to, string what) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= from && value <= to
            ? value
            : throw new CommandException($"'{text}' for {what}: write a number from {from} to {to}");
}
