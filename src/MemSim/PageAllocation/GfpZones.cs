namespace MemSim;

/// <summary>Which zone and which migrate type GFP flags ask for, on each architecture.</summary>
/// <remarks>Kernel: <c>gfp_zone()</c> and <c>gfp_migratetype()</c>.</remarks>
public static class GfpZones
{
    private const int Modifiers = 16;

    private static readonly byte[] TableX86_64 = BuildTable(ArchitectureInfo.X86_64);
    private static readonly byte[] TableX86_32 = BuildTable(ArchitectureInfo.X86_32);
    private static readonly byte[] TableX86_32Pae = BuildTable(ArchitectureInfo.X86_32Pae);
    private static readonly byte[] TableArm64 = BuildTable(ArchitectureInfo.Arm64);

    /// <summary>The highest zone that the flags allow: the zone list of an allocation starts there.</summary>
    /// <param name="gfp">The flags; only <see cref="Gfp.ZoneMask"/> counts. Contradictory ones (<see cref="IsIllegal"/>) give the lowest zone, DMA, as in the kernel.</param>
    /// <param name="architecture">The architecture, which may lack DMA32 or HighMem: both mean Normal then.</param>
    public static ZoneType HighestZone(Gfp gfp, ArchitectureInfo architecture)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        return architecture.ZoneTypes[HighestZoneIndex(gfp, architecture)];
    }

    /// <summary>The kernel's index of <see cref="HighestZone"/>: the position in <see cref="ArchitectureInfo.ZoneTypes"/>.</summary>
    /// <param name="gfp">The flags; only <see cref="Gfp.ZoneMask"/> counts.</param>
    /// <param name="architecture">The architecture.</param>
    public static int HighestZoneIndex(Gfp gfp, ArchitectureInfo architecture) => ZoneIndexTable(architecture)[(int)(gfp & Gfp.ZoneMask)];

    /// <summary>The kernel's zone index for each of the 16 values of <c>gfp &amp; Gfp.ZoneMask</c>, for code that decodes flags often.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <returns>16 entries; the same memory on every call.</returns>
    public static ReadOnlySpan<byte> ZoneIndexTable(ArchitectureInfo architecture)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        return architecture.Architecture switch
        {
            Architecture.X86_64 => TableX86_64,
            Architecture.X86_32 => TableX86_32,
            Architecture.X86_32Pae => TableX86_32Pae,
            Architecture.Arm64 => TableArm64,
            _ => throw new ArgumentOutOfRangeException(nameof(architecture)),
        };
    }

    /// <summary>Whether the zone modifiers contradict each other: more than one of <see cref="Gfp.Dma"/>, <see cref="Gfp.Dma32"/> and <see cref="Gfp.HighMem"/>.</summary>
    /// <remarks>Kernel: <c>GFP_ZONE_BAD</c>; a debug kernel stops there, others silently use the lowest zone.</remarks>
    /// <param name="gfp">The flags.</param>
    public static bool IsIllegal(Gfp gfp) => System.Numerics.BitOperations.PopCount((uint)(gfp & (Gfp.Dma | Gfp.Dma32 | Gfp.HighMem))) > 1;

    /// <summary>The migrate type that the flags ask for: movable, reclaimable, or unmovable for neither.</summary>
    /// <param name="gfp">The flags.</param>
    /// <returns>
    /// <c>(gfp &gt;&gt; 3) &amp; 3</c>. <see cref="Gfp.Movable"/> together with <see cref="Gfp.Reclaimable"/> is illegal and gives the number 3
    /// (<see cref="MigrateType.HighAtomic"/>), a type nobody may ask for and no fallback exists for.
    /// </returns>
    public static MigrateType MigrateTypeOf(Gfp gfp) => (MigrateType)(((uint)gfp >> 3) & 3);

    private static byte[] BuildTable(ArchitectureInfo architecture)
    {
        byte[] table = new byte[Modifiers];
        for (Gfp modifiers = Gfp.None; modifiers <= Gfp.ZoneMask; modifiers++)
        {
            // The kernel packs the table into a word in which contradictory combinations have no bits: they read as index 0.
            table[(int)modifiers] = IsIllegal(modifiers) ? (byte)0 : IndexOrNormal(architecture, Requested(modifiers));
        }

        return table;
    }

    private static ZoneType Requested(Gfp modifiers) => (modifiers & ~Gfp.Movable) switch
    {
        Gfp.Dma => ZoneType.Dma,
        Gfp.Dma32 => ZoneType.Dma32,
        // Only what is movable and may live in high memory may use ZONE_MOVABLE, on 64-bit machines too.
        Gfp.HighMem => (modifiers & Gfp.Movable) != Gfp.None ? ZoneType.Movable : ZoneType.HighMem,
        _ => ZoneType.Normal,
    };

    private static byte IndexOrNormal(ArchitectureInfo architecture, ZoneType type)
    {
        int index = architecture.IndexOf(type);
        return (byte)(index >= 0 ? index : architecture.IndexOf(ZoneType.Normal));
    }
}
