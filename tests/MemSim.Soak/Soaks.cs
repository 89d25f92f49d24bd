namespace MemSim.Soak;

/// <summary>What the machines of all runs have in common; the same runs are compiled with pages of other sizes too.</summary>
internal static class Soaks
{
    /// <summary>The architecture of a kind of seed: three of five are x86-64, where pages have 4 KiB.</summary>
    public static Architecture ArchitectureOf(ulong kind) => PageGeometry.PageShift != 12 ? Architecture.Arm64 : kind switch { 3 => Architecture.X86_32, 4 => Architecture.Arm64, _ => Architecture.X86_64 };

    /// <summary>As many pages as so much memory has in pages of 4 KiB.</summary>
    public static ByteSize Memory(ByteSize of4K) => new(of4K.Bytes << (PageGeometry.PageShift - 12));
}
