namespace MemSim.Tests.Slab;

public sealed class ClassicSlabModelTests : SlabModel
{
    protected override string Implementation => "slab";
}
