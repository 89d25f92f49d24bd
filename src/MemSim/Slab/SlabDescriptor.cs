namespace MemSim;

/// <summary>Which of the textbook's three lists a slab belongs on.</summary>
public enum SlabState
{
    /// <summary>All objects are free (<c>slabs_free</c>).</summary>
    Empty,

    /// <summary>Some objects are free (<c>slabs_partial</c>).</summary>
    Partial,

    /// <summary>No object is free (<c>slabs_full</c>).</summary>
    Full,
}

/// <summary>What an object of a slab is at the moment.</summary>
public enum SlabObjectState
{
    /// <summary>On the slab's own list of free objects.</summary>
    Free,

    /// <summary>Free, but kept by a CPU: in its array, or on the free list of its current slab.</summary>
    Cached,

    /// <summary>Handed out.</summary>
    Allocated,
}

/// <summary>A slab at one moment, with the fields the textbooks show (<c>struct slab</c>).</summary>
/// <param name="Cache">The name of its cache.</param>
/// <param name="Page">Its first page.</param>
/// <param name="Order">log2 of its pages.</param>
/// <param name="Node">The node its pages lie on.</param>
/// <param name="State">Full, partial or empty. Objects that a CPU keeps count as in use.</param>
/// <param name="ColourOffset"><c>colouroff</c>: bytes before the first object that give neighbouring slabs different cache lines.</param>
/// <param name="SMem"><c>s_mem</c>: the address of the first object.</param>
/// <param name="InUse"><c>inuse</c>: objects that are not on the slab's own free list.</param>
/// <param name="Free"><c>free</c>: the number of the first free object; -1: none.</param>
/// <param name="ObjectSize">Bytes from one object to the next.</param>
/// <param name="Freelist">Where the list of free objects lies: <c>on slab</c>, <c>off slab</c>, <c>in a free object</c>.</param>
/// <param name="FreelistAddress">The address of that list; the null address where it moves with the free objects.</param>
/// <param name="Objects">What each object is.</param>
public sealed record SlabDescriptor(
    string Cache,
    Page Page,
    int Order,
    int Node,
    SlabState State,
    int ColourOffset,
    VirtualAddress SMem,
    int InUse,
    int Free,
    int ObjectSize,
    string Freelist,
    VirtualAddress FreelistAddress,
    IReadOnlyList<SlabObjectState> Objects)
{
    private const int ObjectsPerLine = 64;

    /// <summary>The slab in one line: where it is, its state, its fields.</summary>
    private string Describe() =>
        $"{Cache}: slab at pfn {Page.Pfn}, order {Order}, node {Node}: {State.ToString().ToLowerInvariant()}, inuse {InUse} of {Objects.Count}, free {(Free < 0 ? "none" : Free)}, colouroff {ColourOffset}, s_mem {SMem}, list of free objects {Freelist}{(FreelistAddress.IsNull ? "" : $" at {FreelistAddress}")}";

    /// <summary>The slab as text: where it is, its state, its fields, then a sign for each object: <c>#</c> handed out, <c>o</c> free but kept by a CPU, <c>.</c> free.</summary>
    public string Draw()
    {
        System.Text.StringBuilder text = new();
        text.Append(Describe()).Append('\n');
        for (int start = 0; start < Objects.Count; start += ObjectsPerLine)
        {
            text.Append("  ").Append(start.ToString(System.Globalization.CultureInfo.InvariantCulture).PadLeft(5)).Append(" [");
            for (int i = start; i < Math.Min(start + ObjectsPerLine, Objects.Count); i++)
            {
                text.Append(Objects[i] switch { SlabObjectState.Allocated => '#', SlabObjectState.Cached => 'o', _ => '.' });
            }

            text.Append("]\n");
        }

        return text.ToString();
    }

    /// <summary>As <see cref="Draw"/>.</summary>
    public override string ToString() => Draw();
}
