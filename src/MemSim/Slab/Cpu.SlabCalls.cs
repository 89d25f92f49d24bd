namespace MemSim;

/// <content>What is built from kmalloc, kfree and the calls on caches.</content>
public sealed partial class Cpu
{
    /// <summary>How many constructors of objects run on this CPU, one called by the other's allocation.</summary>
    internal int ConstructorDepth { get; set; }

    /// <summary>Allocates zeroed memory (<c>kzalloc()</c>).</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address; the null address when there is no memory.</returns>
    public VirtualAddress Kzalloc(long size, Gfp gfp) => Kmalloc(size, gfp | Gfp.Zero);
}
