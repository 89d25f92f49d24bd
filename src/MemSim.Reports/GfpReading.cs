using System.Globalization;
using MemSim.Reports.Kernels;

namespace MemSim.Reports;

/// <summary>The flags of a request as a report prints them: a number, names, or both.</summary>
/// <param name="Hex">The number; null where only names are printed.</param>
/// <param name="Names">The names, in the order printed; empty where only a number is.</param>
public sealed record GfpReading(ulong? Hex, IReadOnlyList<string> Names)
{
    /// <summary>Whether the list of names ends before its parenthesis closes: the line is cut in its middle.</summary>
    internal bool IsCut { get; init; }

    /// <summary>Reads <c>0x40c40(GFP_NOFS|__GFP_COMP)</c>, <c>0xd0</c> or a list of names.</summary>
    /// <param name="text">The text.</param>
    /// <returns>The reading; null when the text is neither a number nor names.</returns>
    public static GfpReading? Parse(ReadOnlySpan<char> text)
    {
        text = text.Trim();
        ulong? hex = null;
        int open = text.IndexOf('(');
        ReadOnlySpan<char> number = open < 0 ? text : text[..open];
        if (number.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            number = number[2..].TrimEnd(",. ");
        }

        if (number.Length is > 0 and <= 16 && ulong.TryParse(number, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong value))
        {
            hex = value;
        }
        else if (open >= 0 || text.IndexOf("GFP_", StringComparison.Ordinal) < 0)
        {
            return null;
        }

        ReadOnlySpan<char> list = open >= 0 ? text[(open + 1)..] : hex is null ? text : [];
        int close = list.IndexOf(')');
        bool cut = open >= 0 && close < 0;
        list = close >= 0 ? list[..close] : list;
        List<string> names = [];
        foreach (Range range in list.Split('|'))
        {
            ReadOnlySpan<char> name = list[range].Trim();
            if (!name.IsEmpty && name.Length <= 64 && names.Count < 64)
            {
                names.Add(name.ToString());
            }
        }

        return new GfpReading(hex, names) { IsCut = cut };
    }

    /// <summary>What the flags mean on a kernel of a version between two; names win over the number, which wins where the names are cut off.</summary>
    /// <param name="from">The oldest kernel it can be.</param>
    /// <param name="to">The newest one.</param>
    public GfpMeaning Decode(KernelRelease from, KernelRelease to)
    {
        List<string> notes = [];
        if (IsCut)
        {
            notes.Add($"the line is cut off in the middle of its flags ({string.Join('|', Names)}): {(Hex is null ? "further ones are not known" : "all of them are read from the number")}");
        }

        // The number is there in full where the names behind it are not.
        if (Names.Count != 0 && !(IsCut && Hex is not null))
        {
            return FromNames(from, to, notes);
        }

        GfpMeaning? best = null;
        GfpMeaning? contradiction = null;
        foreach (GfpEncoding encoding in GfpEncoding.Between(from, to))
        {
            Gfp flags = encoding.Decode(Hex ?? 0, out ulong unknown, out List<string> silent);
            GfpMeaning meaning = new(flags, [.. NamesOf(flags), .. silent], notes) { UnknownBits = unknown, Encoding = encoding.Kernels };
            int worse = System.Numerics.BitOperations.PopCount(unknown) - System.Numerics.BitOperations.PopCount(best?.UnknownBits ?? 0);
            if (best is null || worse < 0 || (worse == 0 && IsUnlikely(best.Flags) && !IsUnlikely(flags)))
            {
                best = meaning;
                contradiction = null;
            }
            else if (unknown == best.UnknownBits && Matters(flags) != Matters(best.Flags))
            {
                contradiction = meaning;
            }
        }

        // Kernels between two releases, and vendors', have the next one's bits already: a neighbour that knows every bit is believed.
        if (best is { UnknownBits: not 0 })
        {
            foreach (GfpEncoding encoding in GfpEncoding.Beside(from, to))
            {
                Gfp flags = encoding.Decode(Hex ?? 0, out ulong unknown, out List<string> silent);
                if (unknown == 0)
                {
                    notes.Add(string.Create(CultureInfo.InvariantCulture, $"0x{Hex:x} has bits that are no flags of the version named; to kernels {encoding.Kernels} all of it is, so it is read as theirs"));
                    return new GfpMeaning(flags, [.. NamesOf(flags), .. silent], notes) { Encoding = encoding.Kernels };
                }
            }
        }

        if (contradiction is not null)
        {
            notes.Add(string.Create(CultureInfo.InvariantCulture, $"the kernel's version is not known: 0x{Hex:x} is {string.Join('|', best!.Names)} to kernels {best.Encoding} and {string.Join('|', contradiction.Names)} to kernels {contradiction.Encoding}; taken as the former"));
            best = best with { Alternative = contradiction };
        }

        if (best!.UnknownBits != 0)
        {
            notes.Add(string.Create(CultureInfo.InvariantCulture, $"bits 0x{best.UnknownBits:x} of the flags are unknown to kernels {best.Encoding} (a vendor's own?)"));
        }

        return best;
    }

    private GfpMeaning FromNames(KernelRelease from, KernelRelease to, List<string> notes)
    {
        Gfp flags = Gfp.None;
        List<string> known = [];
        foreach (string name in Names)
        {
            if (GfpEncoding.TryName(name, out Gfp meaning))
            {
                flags |= meaning;
                known.Add(name);
            }
            else if (name.StartsWith("0x", StringComparison.Ordinal))
            {
                notes.Add($"the flags have bits without a name: {name}");
            }
            else if (!IsCut || name != Names[^1])
            {
                notes.Add($"the flag {name} is unknown to mainline kernels (a vendor's own?)");
            }
        }

        // Since 6.3 a flag of its own for it is gone: high priority without waiting is what it means.
        if (from >= new KernelRelease(6, 3) && (flags & (Gfp.High | Gfp.DirectReclaim)) == Gfp.High)
        {
            flags |= Gfp.AtomicBit;
        }

        ulong extra = 0;
        if (Hex is { } hex && !IsCut)
        {
            // Boundaries of encodings blur in vendors' kernels: any of them that fits is good enough.
            bool fits = GfpEncoding.Between(KernelRelease.Oldest, KernelRelease.Newest).Any(e => e.Encode(known) == hex);
            ulong? expected = GfpEncoding.Between(from, to).Select(e => e.Encode(known)).LastOrDefault(e => e is not null);
            if (!fits && expected is { } value && value != hex)
            {
                extra = hex & ~value;
                ulong missing = value & ~hex;
                notes.Add(extra != 0
                    ? string.Create(CultureInfo.InvariantCulture, $"the number 0x{hex:x} has 0x{extra:x} which the names do not show (a vendor's own flag?); the names are believed")
                    : string.Create(CultureInfo.InvariantCulture, $"the names stand for 0x{missing:x} which the number 0x{hex:x} does not have; the names are believed"));
            }
        }

        return new GfpMeaning(flags, IsCut ? known : Names, notes) { UnknownBits = extra };
    }

    /// <summary>Whether an encoding that reads the number of a cut line so is not the one that wrote it.</summary>
    /// <remarks>A request that wants no warning, or may not fail, is not reported as failed; and what names are left must be among the flags.</remarks>
    private bool IsUnlikely(Gfp flags)
    {
        Gfp told = Gfp.None;
        for (int i = 0; i < Names.Count - 1; i++)
        {
            told |= GfpEncoding.TryName(Names[i], out Gfp meaning) ? meaning & ~Gfp.AtomicBit : Gfp.None;
        }

        return IsCut && ((flags & told) != told || (flags & ~told & (Gfp.NoWarn | Gfp.NoFail)) != 0);
    }

    private static Gfp Matters(Gfp flags) => flags & (Gfp.ZoneMask | Gfp.Reclaimable | Gfp.DirectReclaim | Gfp.High | Gfp.MemAlloc | Gfp.NoMemAlloc | Gfp.ThisNode | Gfp.HardWall);

    private static string[] NamesOf(Gfp flags) => GfpText.Format(flags).Split('|', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>What the flags of a report mean.</summary>
/// <param name="Flags">In today's flags.</param>
/// <param name="Names">The names, as printed or as the kernel of that time would have.</param>
/// <param name="Notes">What was noticed, a sentence each.</param>
public sealed record GfpMeaning(Gfp Flags, IReadOnlyList<string> Names, IReadOnlyList<string> Notes)
{
    /// <summary>Bits that are no flags of the kernel.</summary>
    public ulong UnknownBits { get; init; }

    /// <summary>Kernels that encode flags this way; empty where names told.</summary>
    public string Encoding { get; init; } = "";

    /// <summary>What another kernel would understand, where the version is not known and it matters.</summary>
    public GfpMeaning? Alternative { get; init; }
}
