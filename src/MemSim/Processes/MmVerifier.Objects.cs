using MemSim.Slab;

namespace MemSim.VirtualMemory;

/// <content>Kernel objects: as many as tasks, address spaces, areas and what links areas to anonymous memory.</content>
internal sealed partial class MmVerifier
{
    public void VerifyObjects()
    {
        KernelObjectCheck check = new(spaces.Machine);
        HashSet<AnonVma> families = [];
        foreach (Process task in spaces.Machine.Processes.Pids.Tasks)
        {
            task.Collect(check);
        }

        foreach (MemoryDescriptor mm in spaces.All)
        {
            mm.Collect(check);
            foreach (Vma vma in mm.Areas)
            {
                foreach (AnonVmaChain link in vma.Chain ?? [])
                {
                    families.Add(link.Anon);
                    families.Add(link.Anon.Root);
                }
            }
        }

        foreach (AnonVma anon in families)
        {
            check.Add(KernelObject.AnonVma, anon.Memory);
        }

        for (KernelObject kind = KernelObject.MapleNode; kind <= KernelObject.Vma; kind++)
        {
            check.Require(kind);
        }
    }
}
