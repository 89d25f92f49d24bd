namespace MemSim.Tests.Slab;

public sealed class ClassicSlabConformanceTests : SlabConformance
{
    protected override string Implementation => "slab";

    protected override int SmallestKmalloc => 32;
}
