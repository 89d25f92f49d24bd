namespace MemSim.Boot;

/// <summary>A contiguous memory area that a machine's description asks for.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Start">Where it must start, or null.</param>
/// <param name="Limit">Below which address it must end, or null.</param>
/// <param name="From">At or above which address it must start, or null.</param>
internal sealed record CmaRequest(string Name, ulong Bytes, ulong? Start, ulong? Limit, ulong? From = null)
{
    /// <summary>The area of <c>cma=</c>, or the one the kernel makes by itself.</summary>
    public const string DefaultName = "reserved";

    /// <summary>Whether a machine's kernel has contiguous memory areas: arm64's, and amd64's from 7.2 on.</summary>
    public static bool IsServedBy(MachineSpec spec) =>
        ArchitectureInfo.Of(spec.Architecture).HasCma || (spec.Personality.Allocator.HasCma && spec.Architecture == Architecture.X86_64);
}
