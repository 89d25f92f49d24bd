namespace MemSim.Pages;

/// <summary>Who maps pages of high memory for the kernel.</summary>
internal interface IHighAddresses
{
    /// <summary>The address at which a page is mapped; the null address while it is not.</summary>
    VirtualAddress Find(int pfn);
}
