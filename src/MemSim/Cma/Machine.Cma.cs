using MemSim.Cma;

namespace MemSim;

/// <content>Contiguous memory: areas reserved at boot, and ranges cleared on demand.</content>
public sealed partial class Machine
{
    internal ContigAllocator Contig { get; private set; } = null!;

    internal Page Owned(Page page) => page.IsNull || page.BelongsTo(this) ? page : throw new ArgumentException($"{page} belongs to another machine", nameof(page));
}
