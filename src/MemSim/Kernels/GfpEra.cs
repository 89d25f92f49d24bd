using System.Globalization;
using System.Text;

namespace MemSim;

/// <summary>The flag names of the 2.6 era in terms of today's: constants to use beside <see cref="Gfp"/>, and the translation of whole flag words.</summary>
/// <remarks><see cref="GfpEraNames"/> lets the same names be written as <c>Gfp.Wait</c>.</remarks>
public static class GfpEra
{
    /// <summary><c>__GFP_WAIT</c>: became both kinds of reclaim in 4.4.</summary>
    public const Gfp Wait = Gfp.Reclaim;

    /// <summary><c>__GFP_REPEAT</c>: renamed to <see cref="Gfp.RetryMayFail"/> in 4.13, which keeps the promise for every order.</summary>
    public const Gfp Repeat = Gfp.RetryMayFail;

    /// <summary><c>__GFP_COLD</c>: no flag since 4.15, per-CPU lists do not tell hot from cold pages any more.</summary>
    public const Gfp Cold = Gfp.None;

    /// <summary><c>__GFP_NOTRACK</c>: no flag since 4.15, kmemcheck is gone.</summary>
    public const Gfp NoTrack = Gfp.None;

    /// <summary><c>GFP_TEMPORARY</c>: removed in 4.14; it was reclaimable kernel memory.</summary>
    public const Gfp Temporary = Gfp.Kernel | Gfp.Reclaimable;

    /// <summary><c>GFP_IOFS</c>: removed in 4.4; the two flags without permission to reclaim.</summary>
    public const Gfp IoFs = Gfp.Io | Gfp.Fs;

    /// <summary><c>GFP_THISNODE</c>: removed in 4.1; this node only, without reclaim, retry or warning.</summary>
    public const Gfp ThisNodeOnly = Gfp.ThisNode | Gfp.NoWarn | Gfp.NoRetry;

    private static readonly (LegacyGfp Flag, Gfp Modern, string Meaning)[] Table =
    [
        (LegacyGfp.Dma, Gfp.Dma, "__GFP_DMA"),
        (LegacyGfp.HighMem, Gfp.HighMem, "__GFP_HIGHMEM"),
        (LegacyGfp.Dma32, Gfp.Dma32, "__GFP_DMA32"),
        (LegacyGfp.Movable, Gfp.Movable, "__GFP_MOVABLE"),
        (LegacyGfp.Wait, Gfp.DirectReclaim, "__GFP_DIRECT_RECLAIM (4.4: split from waking kswapd, which was always allowed)"),
        (LegacyGfp.High, Gfp.High, "__GFP_HIGH, with __GFP_ATOMIC unless the caller can wait (4.4 to 6.2)"),
        (LegacyGfp.Io, Gfp.Io, "__GFP_IO"),
        (LegacyGfp.Fs, Gfp.Fs, "__GFP_FS"),
        (LegacyGfp.Cold, Gfp.None, "nothing (removed in 4.15)"),
        (LegacyGfp.NoWarn, Gfp.NoWarn, "__GFP_NOWARN"),
        (LegacyGfp.Repeat, Gfp.RetryMayFail, "__GFP_RETRY_MAYFAIL (renamed in 4.13)"),
        (LegacyGfp.NoFail, Gfp.NoFail, "__GFP_NOFAIL"),
        (LegacyGfp.NoRetry, Gfp.NoRetry, "__GFP_NORETRY"),
        (LegacyGfp.Comp, Gfp.Comp, "__GFP_COMP"),
        (LegacyGfp.Zero, Gfp.Zero, "__GFP_ZERO"),
        (LegacyGfp.NoMemAlloc, Gfp.NoMemAlloc, "__GFP_NOMEMALLOC"),
        (LegacyGfp.HardWall, Gfp.HardWall, "__GFP_HARDWALL"),
        (LegacyGfp.ThisNode, Gfp.ThisNode, "__GFP_THISNODE"),
        (LegacyGfp.Reclaimable, Gfp.Reclaimable, "__GFP_RECLAIMABLE"),
        (LegacyGfp.NoTrack, Gfp.None, "nothing (removed in 4.15 with kmemcheck)"),
    ];

    /// <summary>The flags of today that ask for what the 2.6.32 flags asked for.</summary>
    /// <remarks>
    /// kswapd could always be woken then, so <see cref="Gfp.KswapdReclaim"/> is added except for <see cref="LegacyGfp.ThisNodeOnly"/>, which gave up before;
    /// emergency pools without waiting (<c>GFP_ATOMIC</c>) become <see cref="Gfp.Atomic"/>. Bits that were no flags are dropped.
    /// </remarks>
    /// <param name="legacy">Flags with the values of 2.6.32.</param>
    public static Gfp ToModern(LegacyGfp legacy)
    {
        Gfp modern = Gfp.None;
        foreach ((LegacyGfp flag, Gfp meaning, _) in Table)
        {
            if ((legacy & flag) != LegacyGfp.None)
            {
                modern |= meaning;
            }
        }

        if ((legacy & LegacyGfp.ThisNodeOnly) != LegacyGfp.ThisNodeOnly)
        {
            modern |= Gfp.KswapdReclaim;
        }

        if ((legacy & (LegacyGfp.High | LegacyGfp.Wait)) == LegacyGfp.High)
        {
            modern |= Gfp.AtomicBit;
        }

        return modern;
    }

    /// <summary>What each flag of a 2.6.32 flag word became, one line a flag, e.g. <c>Repeat -&gt; __GFP_RETRY_MAYFAIL (renamed in 4.13)</c>, and the resulting flags.</summary>
    /// <param name="legacy">Flags with the values of 2.6.32.</param>
    public static string Describe(LegacyGfp legacy)
    {
        StringBuilder text = new();
        LegacyGfp unknown = legacy;
        foreach ((LegacyGfp flag, _, string meaning) in Table)
        {
            if ((legacy & flag) != LegacyGfp.None)
            {
                // Wait and High have second names, NoIo and Atomic, which ToString() might choose.
                string name = flag switch { LegacyGfp.Wait => nameof(LegacyGfp.Wait), LegacyGfp.High => nameof(LegacyGfp.High), _ => flag.ToString() };
                text.Append(name).Append(" -> ").Append(meaning).Append('\n');
                unknown &= ~flag;
            }
        }

        if (unknown != LegacyGfp.None)
        {
            text.Append(CultureInfo.InvariantCulture, $"0x{(uint)unknown:x} -> nothing (was no flag)\n");
        }

        return text.Append("together: ").Append(GfpText.Format(ToModern(legacy))).ToString();
    }
}
