namespace MemSim;

/// <content>Memory from kmalloc where that serves, else from vmalloc.</content>
public sealed partial class CpuSlabCalls
{
    /// <summary>Allocates memory that need not be physically contiguous: kmalloc where that serves, else vmalloc (<c>kvmalloc()</c>).</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The address; the null address without memory. Requests that must not sleep get no vmalloc memory.</returns>
    public VirtualAddress Kvmalloc(long size, Gfp gfp)
    {
        // As the kernel: beyond a page, kmalloc is not to try hard, because vmalloc would do.
        bool light = size > PageGeometry.PageSize;
        Gfp flags = light ? gfp | Gfp.NoWarn | ((gfp & Gfp.RetryMayFail) == 0 ? Gfp.NoRetry : 0) : gfp;
        VirtualAddress result = _cpu.Kmalloc(size, light ? flags & ~Gfp.NoFail : flags);
        bool mayMap = light && size <= int.MaxValue && (gfp & Gfp.DirectReclaim) != 0 && _cpu.Machine.Ram.HasContents;
        return result.IsNull && mayMap ? _cpu.Vmalloc(size, gfp) : result;
    }

    /// <summary>Frees what <see cref="Kvmalloc"/> returned (<c>kvfree()</c>).</summary>
    /// <param name="obj">The address; the null address is ignored.</param>
    public void Kvfree(VirtualAddress obj)
    {
        if (_cpu.Machine.Ram.HasContents && _cpu.Machine.AddressSpace.Vmalloc.Contains(obj))
        {
            _cpu.Vfree(obj);
        }
        else
        {
            _cpu.Kfree(obj);
        }
    }
}
