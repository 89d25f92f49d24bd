namespace MemSim;

/// <summary>The kernel's text views of a machine's memory.</summary>
public sealed class ProcFs
{
    private readonly Machine _machine;

    internal ProcFs(Machine machine) => _machine = machine;

    /// <summary>The memory part of a failure or OOM report (<c>show_mem()</c>, sysrq-m).</summary>
    public string ShowMem() => _machine.Architecture.Name;
}
