using MemSim.Captures;
using MemSim.Kernels;
using MemSim.Swap;

namespace MemSim.Scenarios;

/// <summary>A scenario as a file of JSON describes it, with the machine it runs on. <c>docs/scenarios.md</c> says what it may hold.</summary>
/// <example><code>
/// ScenarioReport report = ScenarioFile.Read("hog.json").Run();
/// </code></example>
public sealed class ScenarioFile
{
    private const int MaxBytes = 16 << 20;

    internal ScenarioFile(string path) => Path = path;

    /// <summary>The file as the caller named it.</summary>
    public string Path { get; }

    /// <summary>What it is about, in the file's own words.</summary>
    public string Description { get; internal set; } = "";

    /// <summary>What random numbers come from.</summary>
    public ulong Seed { get; internal set; } = 1;

    internal Architecture Architecture { get; set; } = Architecture.X86_64;

    internal ByteSize Memory { get; set; } = ByteSize.FromMiB(512);

    internal int Cpus { get; set; } = 1;

    internal ByteSize Swap { get; set; }

    internal ByteSize SwapDisk { get; set; }

    internal List<(string Name, string Value, int Line)> Zswap { get; } = [];

    internal List<(string Path, List<(string File, string Text)> Files, int Line)> Cgroups { get; } = [];

    internal string? CommandLine { get; set; }

    internal int Interleave { get; set; } = 64;

    internal int Samples { get; set; } = 32;

    internal List<(string Name, string Value, int Line)> Sysctls { get; } = [];

    internal List<(string Name, ByteSize Size, int Line)> Files { get; } = [];

    internal List<(string Name, List<(string Name, ProcessPlan Plan, int Count, int Line)> Processes)> Phases { get; } = [];

    /// <summary>Reads a file; one that is packed with gzip is unpacked.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputFileException">It cannot be read, or does not describe a scenario; the message names line and reason.</exception>
    public static ScenarioFile Read(string path) => Parse(InputFile.ReadAllBytes(path, MaxBytes), path);

    /// <summary>Reads a description.</summary>
    /// <param name="json">The text.</param>
    /// <param name="name">What messages call it.</param>
    /// <exception cref="InputFileException">It does not describe a scenario.</exception>
    public static ScenarioFile Parse(ReadOnlySpan<byte> json, string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        return ScenarioFileReader.Read(json, name);
    }

    /// <summary>Boots the machine, with its settings made, its swap on and reclaim at work.</summary>
    /// <param name="kernel">Whose rules the machine follows; null for 6.1's.</param>
    /// <exception cref="InputFileException">There is no such machine or setting.</exception>
    public Machine Boot(KernelChoice? kernel = null)
    {
        Machine machine;
        try
        {
            MachineSpec spec = MachineSpec.Preset(Architecture, Memory, Cpus);
            spec = kernel is null ? spec : spec.WithKernel(kernel);
            machine = Machine.Boot(CommandLine is null ? spec : spec.WithCommandLine(CommandLine));
        }
        catch (ArgumentException e)
        {
            throw new InputFileException(Path, 0, $"the machine: {Reason(e)}", e);
        }

        try
        {
            machine.Reclaim.Enable();
            foreach ((string name, string value, int line) in Sysctls)
            {
                Try(line, () => machine.Sysctl.Set(name, value));
            }

            if (Swap.Bytes != 0 && machine.Swap.SwapOn(new MemorySwapBacking("/dev/zram0", (long)(Swap.Bytes >> PageGeometry.PageShift), synchronous: true)) is { Succeeded: false } refused)
            {
                throw new InputFileException(Path, 0, $"swap of {Swap} cannot be switched on ({refused.Error})");
            }

            if (SwapDisk.Bytes != 0 && machine.Swap.SwapOn(new BlockDevice("sdb", SwapDisk)) is { Succeeded: false } refusedDisk)
            {
                throw new InputFileException(Path, 0, $"swap of {SwapDisk} on a disk cannot be switched on ({refusedDisk.Error})");
            }

            foreach ((string name, string value, int line) in Zswap)
            {
                if (machine.Swap.Zswap.Write(name, value) is var refusedWord and not Errno.None)
                {
                    throw new InputFileException(Path, line, $"zswap refuses '{value}' for {name} ({refusedWord})");
                }
            }

            return machine;
        }
        catch
        {
            machine.Dispose();
            throw;
        }
    }

    /// <summary>The scenario, described for a machine.</summary>
    /// <param name="machine">The machine: that of <see cref="Boot"/> or another one.</param>
    /// <exception cref="InputFileException">It contradicts itself or the machine.</exception>
    public Scenario On(Machine machine)
    {
        Scenario scenario = Scenario.On(machine).Seed(Seed).Interleave(Interleave).Samples(Samples);
        foreach ((string name, ByteSize size, int line) in Files)
        {
            Try(line, () => scenario.File(name, size));
        }

        foreach ((string path, List<(string File, string Text)> files, int line) in Cgroups)
        {
            Try(line, () => scenario.Cgroup(path, [.. files]));
        }

        for (int i = 0; i < Phases.Count; i++)
        {
            _ = i == 0 ? scenario.Phase(Phases[i].Name) : scenario.Then(Phases[i].Name);
            foreach ((string name, ProcessPlan plan, int count, int line) in Phases[i].Processes)
            {
                if (plan.Steps.FirstOrDefault(s => s.Name.Length != 0 && !scenario.Files.ContainsKey(s.Name)) is { } step)
                {
                    throw new InputFileException(Path, line, $"process '{name}' uses file '{step.Name}', which is not described");
                }

                if (plan.Cgroup.Length != 0 && !scenario.Cgroups.ContainsKey(plan.Cgroup))
                {
                    throw new InputFileException(Path, line, $"process '{name}' is in cgroup '{plan.Cgroup}', which is not described");
                }

                Try(line, () => scenario.Add(name, plan, count));
            }
        }

        return scenario;
    }

    /// <summary>Boots the machine and runs the scenario on it.</summary>
    /// <param name="progress">Is told the touches made so far; may throw to stop the scenario.</param>
    /// <exception cref="InputFileException">The file contradicts itself.</exception>
    public ScenarioReport Run(IProgress<long>? progress = null)
    {
        using Machine machine = Boot();
        return On(machine).Run(progress);
    }

    private void Try(int line, Action action)
    {
        try
        {
            action();
        }
        catch (ArgumentException e)
        {
            throw new InputFileException(Path, line, Reason(e), e);
        }
    }

    /// <summary>The message without the parameter's name, which means nothing to whoever wrote the file.</summary>
    internal static string Reason(Exception e)
    {
        int parameter = e.Message.IndexOf(" (Parameter '", StringComparison.Ordinal);
        return parameter < 0 ? e.Message : e.Message[..parameter];
    }
}
