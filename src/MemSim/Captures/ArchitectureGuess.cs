using System.Globalization;

namespace MemSim.Captures;

/// <summary>Which architecture wrote a capture: by the name in <c>uname</c>, by sizes that only some have, last by the zones.</summary>
/// <param name="Info">The architecture to compute with: its own, or for one that is not simulated that whose rules come nearest.</param>
/// <param name="Foreign">What the machine is, where it is not simulated; else null.</param>
/// <param name="PageKiB">Its page size in KiB; null where it is not known to be another than 4.</param>
internal sealed record ArchitectureGuess(ArchitectureInfo Info, string? Foreign = null, int? PageKiB = null)
{
    private const long SixteenMiB = 16L << (20 - PageGeometry.PageShift);

    /// <summary>Names of machines as <c>uname -m</c>, package names and compilers' names in <c>/proc/version</c> have them.</summary>
    private static readonly (string Mark, string Name, int Bits, int? PageKiB)[] ForeignMarks =
    [
        ("ppc64", "64-bit PowerPC", 64, 64), ("powerpc64", "64-bit PowerPC", 64, 64), ("s390x", "s390x", 64, null), ("ia64", "Itanium", 64, 16), ("riscv64", "64-bit RISC-V", 64, null),
        ("loongarch64", "LoongArch", 64, 16), ("mips64", "64-bit MIPS", 64, 16), ("sparc64", "64-bit SPARC", 64, 8), ("armv", "32-bit ARM", 32, null), ("arm-", "32-bit ARM", 32, null),
        ("armhf", "32-bit ARM", 32, null), ("armel", "32-bit ARM", 32, null), ("armmp", "32-bit ARM", 32, null), ("mips", "32-bit MIPS", 32, null), ("ppc", "32-bit PowerPC", 32, null),
        ("riscv32", "32-bit RISC-V", 32, null),
    ];

    /// <summary>Decides.</summary>
    /// <param name="text">What names the kernel: <c>uname -a</c>, <c>/proc/version</c>, <c>osrelease</c>; may be empty.</param>
    /// <param name="zoneInfo">The zones.</param>
    /// <param name="pageblockOrder">log2 of the pages in a page block, where the capture tells.</param>
    /// <param name="orders">Orders of free blocks, where the capture tells.</param>
    public static ArchitectureGuess Of(string text, ZoneInfoFile zoneInfo, int? pageblockOrder, int? orders)
    {
        ArchitectureGuess guess = ByName(text, zoneInfo, pageblockOrder) ?? ByZones(zoneInfo, pageblockOrder);
        if (guess.Foreign is null && pageblockOrder is int block && block != guess.Info.PageblockOrder)
        {
            return Arm64Granule(guess, block) ?? new ArchitectureGuess(guess.Info, string.Create(CultureInfo.InvariantCulture, $"a kernel with page blocks of 2^{block} pages, not those of {guess.Info.Name}"));
        }

        return guess.Foreign is null && orders is int count && count != PageGeometry.OrderCount
            ? guess with { Foreign = string.Create(CultureInfo.InvariantCulture, $"a kernel whose free blocks have {count} orders, not {PageGeometry.OrderCount}") }
            : guess;
    }

    private static ArchitectureGuess? ByName(string text, ZoneInfoFile zoneInfo, int? pageblockOrder)
    {
        bool Has(string mark) => text.Contains(mark, StringComparison.OrdinalIgnoreCase);
        if (Has("aarch64") || Has("arm64"))
        {
            return new ArchitectureGuess(ArchitectureInfo.Arm64);
        }

        if (Has("x86_64") || Has("amd64"))
        {
            return new ArchitectureGuess(ArchitectureInfo.X86_64);
        }

        if (Has("i386") || Has("i486") || Has("i586") || Has("i686"))
        {
            return new ArchitectureGuess(IsPae(text, pageblockOrder) ? ArchitectureInfo.X86_32Pae : ArchitectureInfo.X86_32);
        }

        foreach ((string mark, string name, int bits, int? pageKiB) in ForeignMarks)
        {
            int at = text.IndexOf(mark, StringComparison.OrdinalIgnoreCase);
            if (at >= 0 && (at == 0 || !char.IsAsciiLetter(text[at - 1])))
            {
                return new ArchitectureGuess(bits == 32 ? ArchitectureInfo.X86_32 : ArchitectureInfo.Arm64, name, pageKiB);
            }
        }

        // The zone HighMem is only for 32 bits; the name of a PAE kernel has no machine in it.
        return zoneInfo.Zones.Any(z => z.Type == ZoneType.HighMem) && Has("-pae") ? new ArchitectureGuess(ArchitectureInfo.X86_32Pae) : null;
    }

    /// <summary>The zones alone: x86 has a DMA zone of 16 MiB that starts with the memory, and high memory only with it.</summary>
    private static ArchitectureGuess ByZones(ZoneInfoFile zoneInfo, int? pageblockOrder)
    {
        ZoneInfoZone first = zoneInfo.Zones[0];
        ZoneInfoZone? dma = zoneInfo.Zones.FirstOrDefault(z => z.Type == ZoneType.Dma);
        bool highMem = zoneInfo.Zones.Any(z => z.Type == ZoneType.HighMem);
        bool dma32 = zoneInfo.Zones.Any(z => z.Type == ZoneType.Dma32);
        int zones = first.Protection?.Length ?? 0;
        bool dmaOfX86 = dma is not null && dma.StartPfn + Math.Max(dma.Spanned, 0) <= SixteenMiB;
        if (highMem)
        {
            return dmaOfX86
                ? new ArchitectureGuess(IsPae("", pageblockOrder) ? ArchitectureInfo.X86_32Pae : ArchitectureInfo.X86_32)
                : new ArchitectureGuess(ArchitectureInfo.X86_32, "32 bits, but not x86 (zone DMA is not the first 16 MiB)");
        }

        // Three zones a node: without DMA32, and without DMA or without high memory.
        if (dma is null && !dma32)
        {
            return new ArchitectureGuess(ArchitectureInfo.X86_32, zones == 3 ? "32 bits, but not x86 (zones Normal, HighMem and Movable)" : "neither x86 nor arm64 (there is no zone DMA)");
        }

        if (dmaOfX86)
        {
            return new ArchitectureGuess(dma32 || zones != 4 || zoneInfo.Zones.All(z => z.StartPfn < SixteenMiB) ? ArchitectureInfo.X86_64 : ArchitectureInfo.X86_32);
        }

        // A DMA zone beyond 16 MiB: arm64 from 5.5 on has DMA32 too; of those with DMA alone it was one among several.
        return dma32 ? new ArchitectureGuess(ArchitectureInfo.Arm64)
            : new ArchitectureGuess(ArchitectureInfo.Arm64, "neither x86 nor arm64 of today (zone DMA is not the first 16 MiB, and there is no zone DMA32)");
    }

    private static ArchitectureGuess? Arm64Granule(ArchitectureGuess guess, int pageblockOrder) => guess.Info.Architecture != Architecture.Arm64 ? null : pageblockOrder switch
    {
        13 => new ArchitectureGuess(guess.Info, "arm64 with pages of 64 KiB", 64),
        11 => new ArchitectureGuess(guess.Info, "arm64 with pages of 16 KiB", 16),
        9 => new ArchitectureGuess(guess.Info, "arm64 with pages of 4 KiB", 4),
        _ => null,
    };

    private static bool IsPae(string text, int? pageblockOrder) =>
        pageblockOrder is int order ? order == ArchitectureInfo.X86_32Pae.PageblockOrder : text.Contains("-pae", StringComparison.OrdinalIgnoreCase);
}
