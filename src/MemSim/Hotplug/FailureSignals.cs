using MemSim.Hardware;
using MemSim.VirtualMemory;

namespace MemSim.Hotplug;

/// <summary>Which processes are told of a broken page, and how (<c>collect_procs()</c>, <c>kill_procs()</c>).</summary>
internal sealed class FailureSignals(Machine machine, FailureLog log)
{
    private readonly List<(Process Process, SignalInfo Info)> _pending = [];

    /// <summary>Those of a page's users who want to be told at once, or must be.</summary>
    public List<(Process Process, ulong Address)> Collect(Cpu cpu, List<(Vma Vma, ulong Address)> places, MemoryFailureFlags flags)
    {
        MemoryDescriptor? current = (cpu.Current as Process)?.MmOrNull;
        bool always = machine.Settings.Sysctls.Number("memory_failure_early_kill") != 0;
        List<(Process, ulong)> found = [];
        foreach (Process process in machine.Processes.Pids.All)
        {
            bool uses = (flags & MemoryFailureFlags.ActionRequired) != 0 && current is not null && ReferenceEquals(process.MmOrNull, current);
            bool early = process.MemoryErrorPolicy == MemoryErrorPolicy.Early || (process.MemoryErrorPolicy == MemoryErrorPolicy.Default && always);
            if (!uses && !early)
            {
                continue;
            }

            foreach ((Vma vma, ulong address) in places)
            {
                if (ReferenceEquals(vma.Mm, process.MmOrNull))
                {
                    found.Add((process, address));
                }
            }
        }

        return found;
    }

    /// <summary>Has them told.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="victims">Whom, and where the page is in their memory.</param>
    /// <param name="pfn">The page.</param>
    /// <param name="stillMapped">Whether the page could not be taken away from them: they end.</param>
    /// <param name="flags">What is known.</param>
    public void Send(Cpu cpu, List<(Process Process, ulong Address)> victims, int pfn, bool stillMapped, MemoryFailureFlags flags)
    {
        foreach ((Process process, ulong address) in victims)
        {
            if (stillMapped)
            {
                log.Page(pfn, $"forcibly killing {process.Name}:{process.Pid} because of failure to unmap corrupted page");
                _pending.Add((process, new SignalInfo(Signal.SIGKILL, SignalCode.None, new VirtualAddress(address))));
                continue;
            }

            bool required = (flags & MemoryFailureFlags.ActionRequired) != 0 && ReferenceEquals(process, cpu.Current);
            Add(process, pfn, address, required ? SignalCode.MemoryErrorActionRequired : SignalCode.MemoryErrorActionOptional);
        }
    }

    /// <summary>A process used a page again whose error is known: it is told where it is (<c>kill_accessing_process()</c>).</summary>
    public void SendAgain(Cpu cpu, int pfn)
    {
        if (cpu.Current is Process { MmOrNull: { } mm } process && AddressOf(mm, pfn) is { } address)
        {
            Add(process, pfn, address, SignalCode.MemoryErrorActionRequired);
        }
    }

    /// <summary>The signals arrive.</summary>
    public void Deliver(Cpu cpu)
    {
        while (_pending.Count != 0)
        {
            (Process process, SignalInfo info) = _pending[0];
            _pending.RemoveAt(0);
            process.Deliver(cpu, info);
        }
    }

    private void Add(Process process, int pfn, ulong address, SignalCode code)
    {
        log.Page(pfn, $"Sending SIGBUS to {process.Name}:{process.Pid} due to hardware memory corruption");
        _pending.Add((process, new SignalInfo(Signal.SIGBUS, code, new VirtualAddress(address))));
    }

    private static ulong? AddressOf(MemoryDescriptor mm, int pfn)
    {
        PteLayout layout = mm.Spaces.Layout;
        foreach (Vma vma in mm.Areas)
        {
            PageTableCursor cursor = new(mm.Spaces, vma, vma.StartValue, vma.Hugetlb is null ? vma.EndValue : vma.StartValue, BadEntries.Skip);
            while (cursor.Next())
            {
                TableEntries table = cursor.IsHuge ? default : cursor.Entries;
                while (!cursor.IsHuge && table.Next(out ulong entry))
                {
                    bool stands = layout.TryDecodeSwapEntry(entry, out SoftEntry soft) && soft.Kind == SoftEntryKind.HwPoison && soft.Offset == pfn;
                    if (stands || (layout.IsPresent(entry) && layout.Pfn(entry) == pfn))
                    {
                        return table.Address;
                    }
                }
            }
        }

        return null;
    }
}
