namespace MemSim.Kernels;

/// <summary>What the names of request flags stand for on a kernel line; <see cref="Gfp"/> has 6.1's.</summary>
public static class GfpValues
{
    private const uint NoObjExt = 1u << 24;

    /// <summary>The value of a name.</summary>
    /// <param name="kernel">The kernel line.</param>
    /// <param name="name">A single flag (<c>__GFP_COMP</c>), its bit (<c>___GFP_COMP</c>), a combination (<c>GFP_NOWAIT</c>), <c>__GFP_BITS_SHIFT</c> or <c>__GFP_BITS_MASK</c>.</param>
    /// <returns>The value; 0 for a bit that Debian's kernels are built without; null for a name that the line does not have.</returns>
    public static uint? Of(KernelPersonality kernel, string name)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        ArgumentNullException.ThrowIfNull(name);
        AllocatorRules rules = kernel.Allocator;

        // The third underscore only tells the bit's number from the flag of type gfp_t.
        string flag = name.StartsWith("___", StringComparison.Ordinal) ? name[1..] : name;
        return flag switch
        {
            "__GFP_SKIP_ZERO" or "__GFP_SKIP_KASAN_UNPOISON" or "__GFP_SKIP_KASAN_POISON" or "__GFP_SKIP_KASAN" or "__GFP_NOLOCKDEP" => 0,
            "__GFP_NO_OBJ_EXT" => rules.HasNoObjExt ? NoObjExt : null,
            "__GFP_ATOMIC" => rules.HasAtomicFlag ? (uint)Gfp.AtomicBit : null,
            "GFP_ATOMIC" => (uint)(rules.HasAtomicFlag ? Gfp.Atomic : Gfp.Atomic & ~Gfp.AtomicBit),
            "GFP_NOWAIT" => (uint)(rules.NoWaitIsSilent ? Gfp.NoWait | Gfp.NoWarn : Gfp.NoWait),
            "__GFP_BITS_SHIFT" => (uint)rules.GfpBits,
            "__GFP_BITS_MASK" => (1u << rules.GfpBits) - 1,
            _ => GfpText.TryParse(flag, out Gfp value) ? (uint)value : null,
        };
    }
}
