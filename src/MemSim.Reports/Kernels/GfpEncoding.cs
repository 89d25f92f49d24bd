namespace MemSim.Reports.Kernels;

/// <summary>How the flags of a request were encoded: the bit of each name by kernel version, as a table.</summary>
/// <remarks>
/// The bits were dealt out anew in 2.6.24, 2.6.31, 4.4, 4.10, 4.18, 5.1 and 6.3; from 4.6 on reports print names beside the number. Flags that mean nothing to
/// whether a request finds memory (<c>__GFP_COLD</c>, <c>__GFP_NOTRACK</c>) have a name and no meaning here.
/// </remarks>
internal sealed class GfpEncoding
{
    private const int Pre24 = 0;
    private const int Pre31 = 1;
    private const int Pre44 = 2;
    private const int Pre410 = 3;
    private const int Pre418 = 4;
    private const int Pre51 = 5;
    private const int Pre63 = 6;
    private const int Now = 7;

    private static readonly KernelRelease[] Since = [KernelRelease.Oldest, new(2, 6, 24), new(2, 6, 31), new(4, 4), new(4, 10), new(4, 18), new(5, 1), new(6, 3)];

    // Name, meaning in today's flags, and the bit in each of the eight encodings (0 where the kernel has no such flag).
    private static readonly (string Name, Gfp Meaning, uint[] Bits)[] Table =
    [
        ("__GFP_DMA", Gfp.Dma, [1, 1, 1, 1, 1, 1, 1, 1]),
        ("__GFP_HIGHMEM", Gfp.HighMem, [2, 2, 2, 2, 2, 2, 2, 2]),
        ("__GFP_DMA32", Gfp.Dma32, [4, 4, 4, 4, 4, 4, 4, 4]),
        ("__GFP_MOVABLE", Gfp.Movable, [0x80000, 0x100000, 8, 8, 8, 8, 8, 8]),
        ("__GFP_RECLAIMABLE", Gfp.Reclaimable, [0, 0x80000, 0x80000, 0x10, 0x10, 0x10, 0x10, 0x10]),
        ("__GFP_WAIT", Gfp.DirectReclaim, [0x10, 0x10, 0x10, 0, 0, 0, 0, 0]),
        ("__GFP_HIGH", Gfp.High, [0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20]),
        ("__GFP_IO", Gfp.Io, [0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40]),
        ("__GFP_FS", Gfp.Fs, [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]),
        ("__GFP_COLD", Gfp.None, [0x100, 0x100, 0x100, 0x100, 0x100, 0, 0, 0]),
        ("__GFP_NOWARN", Gfp.NoWarn, [0x200, 0x200, 0x200, 0x200, 0x200, 0x200, 0x2000, 0x2000]),
        ("__GFP_REPEAT", Gfp.RetryMayFail, [0x400, 0x400, 0x400, 0x400, 0x400, 0x400, 0x4000, 0x4000]),
        ("__GFP_NOFAIL", Gfp.NoFail, [0x800, 0x800, 0x800, 0x800, 0x800, 0x800, 0x8000, 0x8000]),
        ("__GFP_NORETRY", Gfp.NoRetry, [0x1000, 0x1000, 0x1000, 0x1000, 0x1000, 0x1000, 0x10000, 0x10000]),
        ("__GFP_MEMALLOC", Gfp.MemAlloc, [0, 0, 0x2000, 0x2000, 0x2000, 0x2000, 0x20000, 0x20000]),
        ("__GFP_COMP", Gfp.Comp, [0x4000, 0x4000, 0x4000, 0x4000, 0x4000, 0x4000, 0x40000, 0x40000]),
        ("__GFP_ZERO", Gfp.Zero, [0x8000, 0x8000, 0x8000, 0x8000, 0x8000, 0x8000, 0x100, 0x100]),
        ("__GFP_NOMEMALLOC", Gfp.NoMemAlloc, [0x10000, 0x10000, 0x10000, 0x10000, 0x10000, 0x10000, 0x80000, 0x80000]),
        ("__GFP_HARDWALL", Gfp.HardWall, [0x20000, 0x20000, 0x20000, 0x20000, 0x20000, 0x20000, 0x100000, 0x100000]),
        ("__GFP_THISNODE", Gfp.ThisNode, [0x40000, 0x40000, 0x40000, 0x40000, 0x40000, 0x40000, 0x200000, 0x200000]),
        ("__GFP_ATOMIC", Gfp.AtomicBit, [0, 0, 0, 0x80000, 0x80000, 0x80000, 0x200, 0]),
        ("__GFP_ACCOUNT", Gfp.Account, [0, 0, 0x100000, 0x100000, 0x100000, 0x100000, 0x400000, 0x400000]),
        ("__GFP_NOTRACK", Gfp.None, [0, 0, 0x200000, 0x200000, 0x200000, 0, 0, 0]),
        ("__GFP_NO_KSWAPD", Gfp.None, [0, 0, 0x400000, 0, 0, 0, 0, 0]),
        ("__GFP_OTHER_NODE", Gfp.None, [0, 0, 0x800000, 0x800000, 0, 0, 0, 0]),
        ("__GFP_DIRECT_RECLAIM", Gfp.DirectReclaim, [0, 0, 0, 0x400000, 0x400000, 0x200000, 0x400, 0x400]),
        ("__GFP_KSWAPD_RECLAIM", Gfp.KswapdReclaim, [0, 0, 0, 0x2000000, 0x1000000, 0x400000, 0x800, 0x800]),
        ("__GFP_WRITE", Gfp.Write, [0, 0, 0x1000000, 0x1000000, 0x800000, 0x800000, 0x1000, 0x1000]),
        ("__GFP_ZEROTAGS", Gfp.ZeroTags, [0, 0, 0, 0, 0, 0, 0x800000, 0x800000]),
    ];

    // Names that stand for several bits or for nothing, whatever the version.
    private static readonly Dictionary<string, Gfp> Composites = new(StringComparer.Ordinal)
    {
        ["GFP_ATOMIC"] = Gfp.Atomic,
        ["GFP_NOWAIT"] = Gfp.KswapdReclaim,
        ["GFP_NOIO"] = Gfp.Reclaim,
        ["GFP_NOFS"] = Gfp.Reclaim | Gfp.Io,
        ["GFP_KERNEL"] = Gfp.Kernel,
        ["GFP_KERNEL_ACCOUNT"] = Gfp.Kernel | Gfp.Account,
        ["GFP_TEMPORARY"] = Gfp.Kernel | Gfp.Reclaimable,
        ["GFP_USER"] = Gfp.Kernel | Gfp.HardWall,
        ["GFP_HIGHUSER"] = Gfp.Kernel | Gfp.HardWall | Gfp.HighMem,
        ["GFP_HIGHUSER_MOVABLE"] = Gfp.Kernel | Gfp.HardWall | Gfp.HighMem | Gfp.Movable,
        ["GFP_DMA"] = Gfp.Dma,
        ["GFP_DMA32"] = Gfp.Dma32,
        ["GFP_TRANSHUGE_LIGHT"] = TransHuge,
        ["GFP_TRANSHUGE"] = TransHuge | Gfp.DirectReclaim,
        ["__GFP_RECLAIM"] = Gfp.Reclaim,
        ["__GFP_RETRY_MAYFAIL"] = Gfp.RetryMayFail,
        ["__GFP_NOACCOUNT"] = Gfp.None,
        ["__GFP_SKIP_ZERO"] = Gfp.None,
        ["__GFP_SKIP_KASAN"] = Gfp.None,
        ["__GFP_SKIP_KASAN_POISON"] = Gfp.None,
        ["__GFP_SKIP_KASAN_UNPOISON"] = Gfp.None,
        ["__GFP_NOLOCKDEP"] = Gfp.None,
        ["__GFP_NO_OBJ_EXT"] = Gfp.None,
        ["none"] = Gfp.None,
    };

    private const Gfp TransHuge = (Gfp.Kernel | Gfp.HardWall | Gfp.HighMem | Gfp.Movable | Gfp.Comp | Gfp.NoMemAlloc | Gfp.NoWarn) & ~Gfp.Reclaim;

    private static readonly Dictionary<string, int> Rows = Table.Select((row, i) => (row.Name, i)).ToDictionary(r => r.Name, r => r.i, StringComparer.Ordinal);

    private readonly int _column;

    private GfpEncoding(int column)
    {
        _column = column;
    }

    private static readonly GfpEncoding[] All = [.. Enumerable.Range(0, Since.Length).Select(i => new GfpEncoding(i))];

    /// <summary>The encoding of a kernel.</summary>
    public static GfpEncoding Of(KernelRelease version)
    {
        int column = Since.Length - 1;
        while (column > 0 && version < Since[column])
        {
            column--;
        }

        return All[column];
    }

    /// <summary>The encodings in use from one kernel to another.</summary>
    public static IEnumerable<GfpEncoding> Between(KernelRelease from, KernelRelease to)
    {
        int first = Of(from)._column;
        int last = Of(to)._column;
        for (int column = first; column <= last; column++)
        {
            yield return All[column];
        }
    }

    /// <summary>The encodings directly before and after those in use from one kernel to another.</summary>
    public static IEnumerable<GfpEncoding> Beside(KernelRelease from, KernelRelease to)
    {
        int first = Of(from)._column;
        int last = Of(to)._column;
        if (last + 1 < All.Length)
        {
            yield return All[last + 1];
        }

        if (first > 0)
        {
            yield return All[first - 1];
        }
    }

    /// <summary>Which kernels used it.</summary>
    public string Kernels => _column switch
    {
        Pre24 => "before 2.6.24",
        Pre31 => "2.6.24 to 2.6.30",
        Pre44 => "2.6.31 to 4.3",
        Pre410 => "4.4 to 4.9",
        Pre418 => "4.10 to 4.17",
        Pre51 => "4.18 to 5.0",
        Pre63 => "5.1 to 6.2",
        Now => "6.3 and later",
        _ => "",
    };

    /// <summary>Whether kswapd could always be woken, and waiting was one flag.</summary>
    private bool HasWait => _column <= Pre44;

    /// <summary>What a number means.</summary>
    /// <param name="hex">The number.</param>
    /// <param name="unknown">Bits that were no flags.</param>
    /// <param name="silent">Names of flags without a meaning here.</param>
    public Gfp Decode(ulong hex, out ulong unknown, out List<string> silent)
    {
        Gfp flags = Gfp.None;
        unknown = hex;
        silent = [];
        foreach ((string name, Gfp meaning, uint[] bits) in Table)
        {
            uint bit = bits[_column];
            if (bit != 0 && (hex & bit) != 0)
            {
                flags |= meaning;
                unknown &= ~(ulong)bit;
                if (meaning == Gfp.None)
                {
                    silent.Add(name);
                }
            }
        }

        if (HasWait)
        {
            flags |= Gfp.KswapdReclaim;
        }

        // Where __GFP_ATOMIC is no bit of its own, high priority without waiting is what it means.
        if ((HasWait || _column == Now) && (flags & (Gfp.High | Gfp.DirectReclaim)) == Gfp.High)
        {
            flags |= Gfp.AtomicBit;
        }

        return flags;
    }

    /// <summary>The number that a list of names stands for; null where a name has no bit in this encoding.</summary>
    public ulong? Encode(IEnumerable<string> names)
    {
        ulong hex = 0;
        foreach (string name in names)
        {
            if (Rows.TryGetValue(name, out int row))
            {
                if (Table[row].Bits[_column] == 0)
                {
                    return null;
                }

                hex |= Table[row].Bits[_column];
                continue;
            }

            if (!Composites.TryGetValue(name, out Gfp meaning))
            {
                return null;
            }

            foreach ((_, Gfp flag, uint[] bits) in Table)
            {
                hex |= flag != Gfp.None && (meaning & flag) != 0 ? bits[_column] : 0;
            }
        }

        return hex;
    }

    /// <summary>What a name means, in any kernel.</summary>
    public static bool TryName(string name, out Gfp flags)
    {
        if (Rows.TryGetValue(name, out int row))
        {
            flags = Table[row].Meaning;
            return true;
        }

        return Composites.TryGetValue(name, out flags);
    }
}
