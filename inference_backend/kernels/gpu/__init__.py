"""The operations as Triton kernels. Imported only where Triton runs them; tests run them in its interpreter on the CPU."""
