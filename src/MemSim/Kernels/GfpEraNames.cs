namespace MemSim;

/// <summary>Lets the flag names of the 2.6 era be written as members of <see cref="Gfp"/>: <c>Gfp.Wait</c>, <c>Gfp.Repeat</c>, <c>Gfp.Cold</c>.</summary>
/// <remarks>Extension members (C# 14), because an enum cannot have members of its own that mean the same bits; <see cref="GfpEra"/> has the names as constants for older compilers.</remarks>
public static class GfpEraNames
{
    extension(Gfp gfp)
    {
        /// <summary>The flags as the kernel prints them, e.g. <c>GFP_NOWAIT</c> or <c>GFP_KERNEL|__GFP_ZERO</c>; an enum's own <c>ToString()</c> says one of several names of a bit.</summary>
        public string KernelName => GfpText.Format(gfp);

        /// <summary><c>__GFP_WAIT</c>; today <see cref="Gfp.Reclaim"/>.</summary>
        public static Gfp Wait => GfpEra.Wait;

        /// <summary><c>__GFP_REPEAT</c>; today <see cref="Gfp.RetryMayFail"/>.</summary>
        public static Gfp Repeat => GfpEra.Repeat;

        /// <summary><c>__GFP_COLD</c>; without effect since 4.15.</summary>
        public static Gfp Cold => GfpEra.Cold;

        /// <summary><c>__GFP_NOTRACK</c>; without effect since 4.15.</summary>
        public static Gfp NoTrack => GfpEra.NoTrack;

        /// <summary><c>GFP_TEMPORARY</c>; today <see cref="Gfp.Kernel"/> with <see cref="Gfp.Reclaimable"/>.</summary>
        public static Gfp Temporary => GfpEra.Temporary;

        /// <summary><c>GFP_IOFS</c>; today <see cref="Gfp.Io"/> with <see cref="Gfp.Fs"/>.</summary>
        public static Gfp IoFs => GfpEra.IoFs;

        /// <summary><c>GFP_THISNODE</c>; today <see cref="Gfp.ThisNode"/> with <see cref="Gfp.NoWarn"/> and <see cref="Gfp.NoRetry"/>.</summary>
        public static Gfp ThisNodeOnly => GfpEra.ThisNodeOnly;
    }
}
