using System.Globalization;
using MemSim.Observability;
using MemSim.Slab;
using MemSim.Statistics;

namespace MemSim.VirtualMemory;

/// <content>Kernel objects, the commit charge, protection bits.</content>
internal sealed partial class MmCore
{
    private readonly KernelObjects _objects;
    private readonly ulong[] _pageBits;

    /// <summary>Objects alive, by kind.</summary>
    public long Objects(KernelObject kind) => _objects.InUse(kind);

    /// <summary>Takes the memory of an object; null without memory.</summary>
    public VirtualAddress TakeObject(Cpu cpu, KernelObject kind) => _objects.Take(cpu, kind);

    public void ReturnObject(Cpu cpu, KernelObject kind, VirtualAddress obj) => _objects.Give(cpu, kind, obj);

    /// <summary>What entries of an area look like (<c>vm_get_page_prot()</c>): private areas never writable, so that the first write is noticed.</summary>
    public ulong PageBits(VmaFlags flags, OpenFile? file)
    {
        bool shared = (flags & VmaFlags.Shared) != 0;
        bool write = shared && (flags & VmaFlags.Write) != 0 && file is { Mapping.WritesBack: false };
        return _pageBits[(int)(flags & (VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec))] | (write ? _writable : 0);
    }

    private ulong _writable;

    private ulong[] MakePageBits()
    {
        ulong[] bits = new ulong[8];
        for (int i = 0; i < 8; i++)
        {
            bool execute = (i & 4) != 0;
            ulong readable = _mmu.Kernel.MakeEntry(default, PageProtection.User | PageProtection.Accessed | (execute ? PageProtection.Execute : 0));
            bits[i] = i == 0 ? Layout.ProtNoneBits(readable) : readable;
        }

        _writable = Layout.MakeWritable(bits[2]) & ~bits[2];
        return bits;
    }

    /// <summary>Promises pages (<c>__vm_enough_memory()</c>): whether memory and swap suffice by the rule of <c>vm.overcommit_memory</c>.</summary>
    public bool Charge(MemoryDescriptor? mm, long pages, bool isAdmin)
    {
        SystemFigures figures = Machine.SystemFigures;
        figures.CommittedPages += pages;
        VmSysctls sysctls = Machine.Settings.Sysctls;
        switch (sysctls.OvercommitMemory)
        {
            case 1:
                return true;
            case 0:
                if (pages <= MemInfoText.ManagedPages(Machine) + figures.SwapTotalPages)
                {
                    return true;
                }

                break;
            default:
                long allowed = MemInfoText.CommitLimit(Machine);
                if (!isAdmin)
                {
                    allowed -= Number(sysctls, "admin_reserve_kbytes") >> (PageGeometry.PageShift - 10);
                }

                if (mm is not null)
                {
                    allowed -= Math.Min(mm.TotalPages / 32, Number(sysctls, "user_reserve_kbytes") >> (PageGeometry.PageShift - 10));
                }

                if (figures.CommittedPages < allowed)
                {
                    return true;
                }

                break;
        }

        figures.CommittedPages -= pages;
        return false;
    }

    public void Uncharge(long pages) => Machine.SystemFigures.CommittedPages -= pages;

    public int MaxAreas => (int)Number(Machine.Settings.Sysctls, "max_map_count");

    private static long Number(VmSysctls sysctls, string name) => long.Parse(sysctls.Get(name), CultureInfo.InvariantCulture);
}
