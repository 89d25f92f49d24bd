using System.Globalization;
using System.Text;
using MemSim.Kernels;

namespace MemSim;

/// <summary>Writes GFP flags as the kernel prints them, and reads what the kernel, a report or a MemSim program wrote.</summary>
public static class GfpText
{
    // The order in which 6.1 tries names: whatever matches whole is printed and taken away, so that the longest composites win.
    private static readonly (Gfp Flags, string Name)[] KernelNames =
    [
        (Gfp.TransHuge, "GFP_TRANSHUGE"),
        (Gfp.TransHugeLight, "GFP_TRANSHUGE_LIGHT"),
        (Gfp.HighUserMovable, "GFP_HIGHUSER_MOVABLE"),
        (Gfp.HighUser, "GFP_HIGHUSER"),
        (Gfp.User, "GFP_USER"),
        (Gfp.KernelAccount, "GFP_KERNEL_ACCOUNT"),
        (Gfp.Kernel, "GFP_KERNEL"),
        (Gfp.NoFs, "GFP_NOFS"),
        (Gfp.Atomic, "GFP_ATOMIC"),
        (Gfp.NoIo, "GFP_NOIO"),
        (Gfp.NoWait, "GFP_NOWAIT"),
        (Gfp.Dma, "GFP_DMA"),
        (Gfp.HighMem, "__GFP_HIGHMEM"),
        (Gfp.Dma32, "GFP_DMA32"),
        (Gfp.High, "__GFP_HIGH"),
        (Gfp.AtomicBit, "__GFP_ATOMIC"),
        (Gfp.Io, "__GFP_IO"),
        (Gfp.Fs, "__GFP_FS"),
        (Gfp.NoWarn, "__GFP_NOWARN"),
        (Gfp.RetryMayFail, "__GFP_RETRY_MAYFAIL"),
        (Gfp.NoFail, "__GFP_NOFAIL"),
        (Gfp.NoRetry, "__GFP_NORETRY"),
        (Gfp.Comp, "__GFP_COMP"),
        (Gfp.Zero, "__GFP_ZERO"),
        (Gfp.NoMemAlloc, "__GFP_NOMEMALLOC"),
        (Gfp.MemAlloc, "__GFP_MEMALLOC"),
        (Gfp.HardWall, "__GFP_HARDWALL"),
        (Gfp.ThisNode, "__GFP_THISNODE"),
        (Gfp.Reclaimable, "__GFP_RECLAIMABLE"),
        (Gfp.Movable, "__GFP_MOVABLE"),
        (Gfp.Account, "__GFP_ACCOUNT"),
        (Gfp.Write, "__GFP_WRITE"),
        (Gfp.Reclaim, "__GFP_RECLAIM"),
        (Gfp.DirectReclaim, "__GFP_DIRECT_RECLAIM"),
        (Gfp.KswapdReclaim, "__GFP_KSWAPD_RECLAIM"),
        (Gfp.ZeroTags, "__GFP_ZEROTAGS"),
    ];

    // Newer kernels: composites, then single flags by their bits; the bit of __GFP_ATOMIC means nothing there and GFP_NOWAIT does not warn.
    private static readonly (Gfp Flags, string Name)[] NamesByBit =
    [
        (Gfp.TransHuge, "GFP_TRANSHUGE"),
        (Gfp.TransHugeLight, "GFP_TRANSHUGE_LIGHT"),
        (Gfp.HighUserMovable, "GFP_HIGHUSER_MOVABLE"),
        (Gfp.HighUser, "GFP_HIGHUSER"),
        (Gfp.User, "GFP_USER"),
        (Gfp.KernelAccount, "GFP_KERNEL_ACCOUNT"),
        (Gfp.Kernel, "GFP_KERNEL"),
        (Gfp.NoFs, "GFP_NOFS"),
        (Gfp.High | Gfp.KswapdReclaim, "GFP_ATOMIC"),
        (Gfp.NoIo, "GFP_NOIO"),
        (Gfp.KswapdReclaim | Gfp.NoWarn, "GFP_NOWAIT"),
        (Gfp.Dma, "GFP_DMA"),
        (Gfp.Dma32, "GFP_DMA32"),
        (Gfp.HighMem, "__GFP_HIGHMEM"),
        (Gfp.Movable, "__GFP_MOVABLE"),
        (Gfp.Reclaimable, "__GFP_RECLAIMABLE"),
        (Gfp.High, "__GFP_HIGH"),
        (Gfp.Io, "__GFP_IO"),
        (Gfp.Fs, "__GFP_FS"),
        (Gfp.Zero, "__GFP_ZERO"),
        (Gfp.DirectReclaim, "__GFP_DIRECT_RECLAIM"),
        (Gfp.KswapdReclaim, "__GFP_KSWAPD_RECLAIM"),
        (Gfp.Write, "__GFP_WRITE"),
        (Gfp.NoWarn, "__GFP_NOWARN"),
        (Gfp.RetryMayFail, "__GFP_RETRY_MAYFAIL"),
        (Gfp.NoFail, "__GFP_NOFAIL"),
        (Gfp.NoRetry, "__GFP_NORETRY"),
        (Gfp.MemAlloc, "__GFP_MEMALLOC"),
        (Gfp.Comp, "__GFP_COMP"),
        (Gfp.NoMemAlloc, "__GFP_NOMEMALLOC"),
        (Gfp.HardWall, "__GFP_HARDWALL"),
        (Gfp.ThisNode, "__GFP_THISNODE"),
        (Gfp.Account, "__GFP_ACCOUNT"),
        (Gfp.ZeroTags, "__GFP_ZEROTAGS"),
    ];

    /// <summary>
    /// What other kernels print. Until 4.4 tracepoints left the underscores of single flags out. Flags without effect on where a page comes from mean nothing here.
    /// </summary>
    private static readonly (string Name, Gfp Flags)[] NamesOfOtherKernels =
    [
        ("GFP_TEMPORARY", GfpEra.Temporary),
        ("GFP_IOFS", GfpEra.IoFs),
        ("GFP_WAIT", GfpEra.Wait),
        ("__GFP_WAIT", GfpEra.Wait),
        ("GFP_HIGH", Gfp.High),
        ("GFP_IO", Gfp.Io),
        ("GFP_COLD", Gfp.None),
        ("__GFP_COLD", Gfp.None),
        ("GFP_NOWARN", Gfp.NoWarn),
        ("GFP_REPEAT", GfpEra.Repeat),
        ("__GFP_REPEAT", GfpEra.Repeat),
        ("GFP_NOFAIL", Gfp.NoFail),
        ("GFP_NORETRY", Gfp.NoRetry),
        ("GFP_COMP", Gfp.Comp),
        ("GFP_ZERO", Gfp.Zero),
        ("GFP_NOMEMALLOC", Gfp.NoMemAlloc),
        ("GFP_MEMALLOC", Gfp.MemAlloc),
        ("GFP_HARDWALL", Gfp.HardWall),
        ("GFP_THISNODE", Gfp.ThisNode),
        ("GFP_RECLAIMABLE", Gfp.Reclaimable),
        ("GFP_MOVABLE", Gfp.Movable),
        ("GFP_NOTRACK", Gfp.None),
        ("__GFP_NOTRACK", Gfp.None),
        ("__GFP_NOTRACK_FALSE_POSITIVE", Gfp.None),
        ("GFP_KMEMCG", Gfp.Account),
        ("__GFP_KMEMCG", Gfp.Account),
        ("__GFP_NOACCOUNT", Gfp.None),
        ("GFP_NO_KSWAPD", Gfp.None),
        ("__GFP_NO_KSWAPD", Gfp.None),
        ("GFP_OTHER_NODE", Gfp.None),
        ("__GFP_OTHER_NODE", Gfp.None),
        ("__GFP_SKIP_ZERO", Gfp.None),
        ("__GFP_SKIP_KASAN", Gfp.None),
        ("__GFP_SKIP_KASAN_POISON", Gfp.None),
        ("__GFP_SKIP_KASAN_UNPOISON", Gfp.None),
        ("__GFP_NOLOCKDEP", Gfp.None),
        ("__GFP_NO_OBJ_EXT", Gfp.None),
        ("__GFP_CMA", Gfp.None),
    ];

    private static readonly Dictionary<string, Gfp> ByName = AllNames();

    /// <summary>The flags as a 6.1 tracepoint prints them, e.g. <c>GFP_KERNEL|__GFP_ZERO</c>; <c>none</c> for no flag, bits without a name as hexadecimal at the end.</summary>
    /// <param name="gfp">The flags.</param>
    public static string Format(Gfp gfp) => gfp == Gfp.None ? "none" : Names(gfp, KernelNames);

    /// <summary>The flags as a kernel's tracepoints print them.</summary>
    /// <param name="gfp">The flags.</param>
    /// <param name="kernel">The kernel line.</param>
    public static string Format(Gfp gfp, KernelPersonality kernel)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        gfp = kernel.Allocator.HasAtomicFlag ? gfp : gfp & ~Gfp.AtomicBit;
        return gfp == Gfp.None ? "none" : Names(gfp, kernel.Traces.FlagsByBit ? NamesByBit : KernelNames);
    }

    /// <summary>The flags as page allocation failure and OOM reports print them, e.g. <c>0xdc0(GFP_KERNEL|__GFP_ZERO)</c>; <c>0x0()</c> for no flag.</summary>
    /// <param name="gfp">The flags.</param>
    public static string FormatWithHex(Gfp gfp) => $"0x{(uint)gfp:x}({Names(gfp, KernelNames)})";

    /// <summary>The flags as a kernel's reports print them.</summary>
    /// <param name="gfp">The flags.</param>
    /// <param name="kernel">The kernel line.</param>
    public static string FormatWithHex(Gfp gfp, KernelPersonality kernel)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        gfp = kernel.Allocator.HasAtomicFlag ? gfp : gfp & ~Gfp.AtomicBit;
        return $"0x{(uint)gfp:x}({Names(gfp, kernel.Traces.FlagsByBit ? NamesByBit : KernelNames)})";
    }

    /// <summary>Reads flags from what <see cref="Format(Gfp)"/> or <see cref="FormatWithHex(Gfp)"/> print, from hexadecimal digits with or without <c>0x</c>, or from MemSim's own names, e.g. <c>Kernel|Zero</c>.</summary>
    /// <param name="text">The text; names are separated by <c>|</c>, case matters only in the kernel's names.</param>
    /// <returns>The flags.</returns>
    /// <exception cref="FormatException">A part is no known flag, or the hexadecimal number and the names of a report disagree.</exception>
    public static Gfp Parse(ReadOnlySpan<char> text) =>
        Read(text, out Gfp gfp, out string reason) ? gfp : throw new FormatException($"'{text}' are no GFP flags: {reason}");

    /// <summary>Reads flags as <see cref="Parse"/> does, without an exception.</summary>
    /// <param name="text">The text.</param>
    /// <param name="gfp">The flags, or <see cref="Gfp.None"/>.</param>
    /// <returns>Whether the whole text was understood.</returns>
    public static bool TryParse(ReadOnlySpan<char> text, out Gfp gfp) => Read(text, out gfp, out _);

    private static string Names(Gfp gfp, (Gfp Flags, string Name)[] names)
    {
        StringBuilder text = new();
        foreach ((Gfp flags, string name) in names)
        {
            if ((gfp & flags) == flags)
            {
                text.Append(text.Length == 0 ? "" : "|").Append(name);
                gfp &= ~flags;
            }
        }

        if (gfp != Gfp.None)
        {
            text.Append(text.Length == 0 ? "" : "|").Append(CultureInfo.InvariantCulture, $"0x{(uint)gfp:x}");
        }

        return text.ToString();
    }

    private static bool Read(ReadOnlySpan<char> text, out Gfp gfp, out string reason)
    {
        gfp = Gfp.None;
        text = text.Trim();
        int open = text.IndexOf('(');
        if (open < 0)
        {
            return ReadList(text, out gfp, out reason);
        }

        if (!TryReadHex(text[..open], out Gfp number) || text[^1] != ')')
        {
            reason = "expected hexadecimal digits and names in parentheses";
            return false;
        }

        ReadOnlySpan<char> names = text[(open + 1)..^1];
        Gfp named = Gfp.None;
        if (!names.IsEmpty && !ReadList(names, out named, out reason))
        {
            return false;
        }

        // The bits of GFP_ATOMIC and GFP_NOWAIT changed while their names stayed.
        if ((named ^ number) is var difference && (difference & ~(Gfp.AtomicBit | Gfp.NoWarn)) != 0)
        {
            reason = $"the names mean 0x{(uint)named:x}";
            return false;
        }

        gfp = number;
        reason = "";
        return true;
    }

    private static bool ReadList(ReadOnlySpan<char> text, out Gfp gfp, out string reason)
    {
        gfp = Gfp.None;
        Gfp sum = Gfp.None;
        foreach (Range range in text.Split('|'))
        {
            ReadOnlySpan<char> part = text[range].Trim();
            if (!ByName.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(part, out Gfp flags) && !TryReadMemSimName(part, out flags) && !TryReadHex(part, out flags))
            {
                reason = part.IsEmpty ? "a name is missing" : $"'{part}' is unknown";
                return false;
            }

            sum |= flags;
        }

        gfp = sum;
        reason = "";
        return true;
    }

    private static bool TryReadMemSimName(ReadOnlySpan<char> name, out Gfp gfp)
    {
        gfp = Gfp.None;
        if (name.StartsWith("Gfp.", StringComparison.Ordinal))
        {
            name = name[4..];
        }

        // Enum.TryParse would take decimal numbers and commas too.
        return !name.IsEmpty && char.IsAsciiLetter(name[0]) && name.IndexOf(',') < 0 && Enum.TryParse(name, ignoreCase: true, out gfp);
    }

    private static bool TryReadHex(ReadOnlySpan<char> text, out Gfp gfp)
    {
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            text = text[2..];
        }

        bool isHex = uint.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint value);
        gfp = (Gfp)value;
        return isHex;
    }

    private static Dictionary<string, Gfp> AllNames()
    {
        Dictionary<string, Gfp> names = new(StringComparer.Ordinal) { ["none"] = Gfp.None };
        foreach ((Gfp flags, string name) in KernelNames)
        {
            names.Add(name, flags);
        }

        // What source code writes and traces never print.
        names.Add("__GFP_DMA", Gfp.Dma);
        names.Add("__GFP_DMA32", Gfp.Dma32);
        names.Add("GFP_ZONEMASK", Gfp.ZoneMask);
        foreach ((string name, Gfp flags) in NamesOfOtherKernels)
        {
            names.Add(name, flags);
        }

        return names;
    }
}
