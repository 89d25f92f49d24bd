using MemSim.Explorer.Sessions;

namespace MemSim.Explorer.Lessons;

/// <summary>Addresses: vmalloc against kmalloc, the walk, windows.</summary>
internal static class AddressLessons
{
    private static readonly MachineChoice s_small = new(Memory: "512M", Cpus: 1);

    public static Lesson Vmalloc { get; } = new(
        "vmalloc",
        "vmalloc against kmalloc",
        "Watch where the pages of both lie, and how many TLB misses the same reads cost.",
        s_small,
        [
            new("churn 3000 order=2 keep=800 as busy", s => "A machine that has been busy for a while.", s => s.Held.ContainsKey("busy")),
            new("kmalloc 1M as k", s => "kmalloc() of 1 MiB needs 256 pages in one piece. They are part of the kernel's direct map, which is mapped with pages of 2 MiB.", s => s.Held.ContainsKey("k")),
            new("vmalloc 1M as v", s => "vmalloc() of 1 MiB takes 256 single pages, wherever they are, and maps them one after the other in page tables of its own.", s => s.Held.ContainsKey("v")) { Marks = s => [.. Pages(s).Take(40).Select(p => new Mark(p, 1, string.Empty))] },
            new("flush", s => "Both start with an empty TLB.", s => s.Cpu.Tlb.Entries.Count == 0),
            new("scan k step=4096", s => $"One byte of each page of the kmalloc memory: {s.LastText()}.", s => Walks(s) <= 2),
            new("flush", s => "Again with an empty TLB.", s => s.Cpu.Tlb.Entries.Count == 0),
            new("scan v step=4096", s => $"The same of the vmalloc memory: {s.LastText()}. Every page needs a translation of its own: that is the price.", s => Walks(s) >= 256),
        ])
    {
        Panels = LessonPanels.Tlb | LessonPanels.FreeLists,
        Breaks =
        [
            new("More than any block: kmalloc() cannot, vmalloc() can.", "kmalloc 4194304 GFP_KERNEL"),
            new("Read it twice: what fits stays in the TLB.", "scan v step=4096 times=2"),
        ],
    };

    public static Lesson Walk { get; } = new(
        "walk",
        "The five reads of a walk",
        "Watch one read of memory become five: four entries of page tables, one after the other, and then the byte.",
        s_small,
        [
            new("vmalloc 64K as v", s => "Memory that is mapped with pages of 4 KiB.", s => s.Held.ContainsKey("v")),
            new("flush", s => "The TLB is empty: nothing is known of any translation.", s => s.Cpu.Tlb.Entries.Count == 0),
            new("walk v", s => "PGD, P4D and PUD, PMD, PTE: each entry says where the next table lies, so no read can start before the one above has come back. Four reads, and the fifth is the byte itself.", s => s.LastText().Contains("PTE", StringComparison.OrdinalIgnoreCase)),
            new("scan v step=4096", s => $"After sixteen pages: {s.LastText()}. The upper tables are remembered between walks.", s => s.Cpu.Tlb.Entries.Count >= 16),
            new("walk v", s => "Now the TLB answers: no table is read at all.", s => s.LastText().Contains("TLB", StringComparison.Ordinal)),
        ])
    {
        Panels = LessonPanels.Tlb,
        Breaks =
        [
            new("An address nobody mapped.", "scan 0xffffc90001234000"),
            new("Half a machine's memory through a TLB of this size.", "vmalloc 64M as big"),
        ],
    };

    public static Lesson Kmap { get; } = new(
        "kmap",
        "Windows to high memory",
        "Watch a page that the kernel has no address for get one for a while.",
        new MachineChoice(Architecture.X86_32, "1G", 1),
        [
            new("alloc 0 GFP_HIGHUSER as page", s => $"A 32-bit kernel maps 896 MiB. This page lies above, at pfn {s.Block("page").Pfn} in zone {s.Machine.GetPage(s.Block("page").Pfn).Zone.Name}: it has no address.", s => s.Machine.GetPage(s.Block("page").Pfn).Address.IsNull),
            new("kmap page as window", s => $"kmap() opened a window: {((HeldWindow)s.Held["window"]).Window}. There are {s.Machine.Memory.KmapSlots.Count} of them for the whole machine.", s => !s.Machine.GetPage(s.Block("page").Pfn).Address.IsNull),
            new("walk window", s => "The kernel reads the page through it like any other memory.", s => s.LastText().Length > 0),
            new("kunmap window", s => "Closed, but not yet taken away: flushing TLBs is dear, so closed windows wait until all have been used once.", s => !s.Held.ContainsKey("window")),
            new("kmap page as again", s => $"The same page again finds its old window: {((HeldWindow)s.Held["again"]).Window}.", s => s.Held.ContainsKey("again")),
        ])
    {
        Zone = "HighMem",
        Panels = LessonPanels.Tlb | LessonPanels.FreeLists,
        Breaks =
        [
            new("A page that has an address already.", "kmap nothing"),
            new("Free the page while the window is open, and look through it.", "free page"),
        ],
    };

    private static IEnumerable<long> Pages(Session session)
    {
        HeldArea area = (HeldArea)session.Held["v"];
        for (long at = 0; at < area.Bytes; at += PageGeometry.PageSize)
        {
            yield return session.Cpu.Vm.VmallocToPage(area.Start + at).Pfn.Value;
        }
    }

    private static int Walks(Session session)
    {
        string[] words = session.LastText().Split(' ');
        return int.Parse(words[Array.FindIndex(words, w => w.StartsWith("walks", StringComparison.Ordinal)) - 1], System.Globalization.CultureInfo.InvariantCulture);
    }
}
