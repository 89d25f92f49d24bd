using System.Diagnostics;
using MemSim.Lru;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Taking the memory of a process that is about to die.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Whether what could be taken was taken: killing for this memory brings nothing any more (<c>MMF_OOM_SKIP</c>).</summary>
    internal bool IsReaped { get; private set; }

    /// <summary>Takes all private memory (<c>__oom_reap_task_mm()</c>); areas and page tables stay until the exit.</summary>
    internal void Reap(Cpu cpu)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        NotePeak();
        MmuGather gather = new(_spaces, cpu, this);
        for (Vma? vma = _areas.First; vma is not null; vma = vma.Next)
        {
            if (!vma.IsShared)
            {
                gather.Zap(vma, vma.StartValue, vma.EndValue);
            }
        }

        gather.Finish();
        IsReaped = true;
        Debug.Assert(AnonPages >= 0 && SwapEntries >= 0, "no more was taken than there was");
    }
}
